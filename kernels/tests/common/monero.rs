//! CLSAGs of the crate `monero-clsag`, and its verdicts.

use monero_clsag::{Clsag, ClsagContext, Decoys};
use monero_ed25519::{Commitment, CompressedPoint, Point, Scalar};
use pars_kernels::ring::clsag::ClsagJob;
use zeroize::Zeroizing;

/// A CLSAG in bytes.
#[derive(Clone, Debug)]
pub struct Signed {
    pub ring: Vec<[[u8; 32]; 2]>,
    pub image: [u8; 32],
    pub pseudo_out: [u8; 32],
    pub message: [u8; 32],
    pub signature: Vec<u8>,
}

impl Signed {
    /// A ring of so many members, one of whom signs; keys and commitments follow from a number below 65,536.
    #[allow(dead_code, reason = "one test file signs by itself")]
    pub fn new(number: usize, members: usize, signer: usize) -> Self {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        let scalar = |member: usize, what: u8| Scalar::hash([high, low, member as u8, what]);
        // A commitment to nothing is the mask times the base point.
        let base = |scalar: Scalar| Commitment::new(scalar, 0).commit();
        let opening = |member: usize| Commitment::new(scalar(member, 1), 1_000 + number as u64);
        let points: Vec<_> = (0..members)
            .map(|member| [base(scalar(member, 0)), opening(member).commit()])
            .collect();
        let ring: Vec<_> = points
            .iter()
            .map(|member| member.map(|point| point.compress().to_bytes()))
            .collect();
        let key = scalar(signer, 0);
        let hash = Point::biased_hash(ring[signer][0]).into();
        let image = Point::from(hash * key.into()).compress();
        let decoys = Decoys::new(vec![1; members], signer as u8, points).unwrap();
        let context = ClsagContext::new(decoys, opening(signer)).unwrap();
        let mut message = [0x5a; 32];
        message[..2].copy_from_slice(&[high, low]);
        let inputs = vec![(Zeroizing::new(key), context)];
        let (signature, pseudo_out) =
            Clsag::sign(&mut rand_core::OsRng, inputs, scalar(0, 2), message)
                .unwrap()
                .remove(0);
        let mut bytes = Vec::new();
        signature.write(&mut bytes).unwrap();
        Self {
            ring,
            image: image.to_bytes(),
            pseudo_out: pseudo_out.compress().to_bytes(),
            message,
            signature: bytes,
        }
    }

    pub fn job(&self) -> ClsagJob {
        ClsagJob::new(
            &self.ring,
            self.image,
            self.pseudo_out,
            self.message,
            &self.signature,
        )
        .unwrap()
    }

    /// As the crate reads it; nothing where it refuses to.
    pub fn peer(&self) -> Option<Peer> {
        let point = |bytes: &[u8; 32]| CompressedPoint::from(*bytes);
        Some(Peer {
            signature: Clsag::read(self.ring.len(), &mut &self.signature[..]).ok()?,
            ring: self
                .ring
                .iter()
                .map(|pair| pair.each_ref().map(point))
                .collect(),
            image: point(&self.image),
            pseudo_out: point(&self.pseudo_out),
            message: self.message,
        })
    }
}

/// What the crate verifies.
pub struct Peer {
    signature: Clsag,
    ring: Vec<[CompressedPoint; 2]>,
    image: CompressedPoint,
    pseudo_out: CompressedPoint,
    message: [u8; 32],
}

impl Peer {
    pub fn verify(&self) -> bool {
        let ring = self.ring.clone();
        self.signature
            .verify(ring, &self.image, &self.pseudo_out, &self.message)
            .is_ok()
    }
}
