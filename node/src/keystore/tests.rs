use super::*;

/// The two test vectors of the definition of Web3 Secret Storage, version 3.
const PBKDF2: &str = r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
    "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46", "kdf": "pbkdf2",
    "kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
    "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
    "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
const SCRYPT: &str = r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
    "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c", "kdf": "scrypt",
    "kdfparams": {"dklen": 32, "n": 262144, "p": 8, "r": 1,
    "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
    "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const PASSWORD: &[u8] = b"testpassword";

const KINDS: [Algorithm; 4] = [
    Algorithm::Secp256k1,
    Algorithm::MlDsa(ParameterSet::MlDsa44),
    Algorithm::MlDsa(ParameterSet::MlDsa65),
    Algorithm::MlDsa(ParameterSet::MlDsa87),
];

#[test]
fn the_definition_s_own_vectors_open() {
    for text in [PBKDF2, SCRYPT] {
        let keystore = Keystore::parse(text).unwrap();
        assert_eq!(keystore.algorithm(), Algorithm::Secp256k1);
        assert_eq!(keystore.named(), None);
        let key = keystore.decrypt(PASSWORD).unwrap();
        assert_eq!(hex::encode(key.bytes()), SECRET);
        // Read again from what is written.
        let again = Keystore::parse(&keystore.to_json()).unwrap();
        assert_eq!(again.to_json(), keystore.to_json());
    }
    let wrong = Keystore::parse(PBKDF2).unwrap().decrypt(b"testpasswore");
    assert!(matches!(wrong, Err(KeystoreError::Password)));
}

/// From ethereum/tests (`KeyStoreTests`, "evilnonce") and go-ethereum (`v3_test_vector.json`,
/// "31_byte_key" and "30_byte_key"): a counter that runs over, keys without their first zeros.
const ODD: [(&str, &[u8], &str); 3] = [
    (
        r#"{"version": 3, "crypto": {"ciphertext": "d69313b6470ac1942f75d72ebf8818a0d484ac78478a132ee081cd954d6bd7a9",
        "cipherparams": {"iv": "ffffffffffffffffffffffffffffffff"}, "kdf": "pbkdf2", "kdfparams": {"dklen": 32,
        "c": 262144, "prf": "hmac-sha256", "salt": "c82ef14476014cbf438081a42709e2ed"},
        "mac": "cf6bfbcc77142a22c4a908784b4a16f1023a1d0e2aff404c20158fa4f1587177", "cipher": "aes-128-ctr",
        "version": 1}, "id": "abb67040-8dbe-0dad-fc39-2b082ef0ee5f"}"#,
        b"bar",
        "0202020202020202020202020202020202020202020202020202020202020202",
    ),
    (
        r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "e0c41130a323adc1446fc82f724bca2f"},
        "ciphertext": "9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984", "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": 2, "r": 8, "p": 1,
        "salt": "711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63"},
        "mac": "d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5"},
        "id": "fecfc4ce-e956-48fd-953b-30f8b52ed66c", "version": 3}"#,
        b"foo",
        "00fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35",
    ),
    (
        r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "3ca92af36ad7c2cd92454c59cea5ef00"},
        "ciphertext": "108b7d34f3442fc26ab1ab90ca91476ba6bfa8c00975a49ef9051dc675aa", "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": 2, "r": 8, "p": 1,
        "salt": "d0769e608fb86cda848065642a9c6fa046845c928175662b8e356c77f914cd3b"},
        "mac": "75d0e6759f7b3cefa319c3be41680ab6beea7d8328653474bd06706d4cc67420"},
        "id": "a37e1559-5955-450d-8075-7b8931b392b2", "version": 3}"#,
        b"foo",
        "000081c29e8142bb6a81bef5a92bda7a8328a5c85bb2f9542e76f9b0f94fc018",
    ),
];

#[test]
fn files_of_other_programs_open() {
    for (text, password, secret) in ODD {
        let keystore = Keystore::parse(text).unwrap();
        assert_eq!(
            hex::encode(keystore.decrypt(password).unwrap().bytes()),
            secret
        );
        let again = Keystore::parse(&keystore.to_json()).unwrap();
        assert_eq!(again.to_json(), keystore.to_json());
    }
    let long = ODD[1].0.replace("9517cd5b", "95959517cd5b");
    assert!(matches!(
        Keystore::parse(&long),
        Err(KeystoreError::Form(_))
    ));
}

#[test]
fn a_key_comes_back_and_only_with_its_password() {
    for algorithm in KINDS {
        let key = SecretKey::generate(algorithm).unwrap();
        let keystore = Keystore::encrypt(&key, PASSWORD, Cost::LIGHT).unwrap();
        let read = Keystore::parse(&keystore.to_json()).unwrap();
        assert_eq!(read.algorithm(), algorithm);
        assert_eq!(read.decrypt(PASSWORD).unwrap(), key);
        assert!(matches!(read.decrypt(b""), Err(KeystoreError::Password)));
        assert!(!read.to_json().contains(&hex::encode(key.bytes())));
        let public = key.public().unwrap().to_string().to_ascii_lowercase();
        assert_eq!(read.named().map(|name| format!("0x{name}")), Some(public));
        assert_eq!(
            algorithm.to_string().parse::<Algorithm>().unwrap(),
            algorithm
        );
    }
}

#[test]
fn another_public_name_is_found_out() {
    for algorithm in KINDS {
        let [key, other] = [(); 2].map(|()| SecretKey::generate(algorithm).unwrap());
        let [keystore, other] =
            [&key, &other].map(|key| Keystore::encrypt(key, PASSWORD, Cost::LIGHT).unwrap());
        let (mine, foreign) = (keystore.named().unwrap(), other.named().unwrap());
        let changed = keystore.to_json().replace(&mine, &foreign);
        let error = Keystore::parse(&changed)
            .unwrap()
            .decrypt(PASSWORD)
            .unwrap_err();
        match algorithm {
            // The old form does not authenticate its address.
            Algorithm::Secp256k1 => assert!(matches!(error, KeystoreError::OtherKey { .. })),
            Algorithm::MlDsa(_) => assert!(matches!(error, KeystoreError::Password)),
        }
    }
}

#[test]
fn every_changed_digit_of_an_ml_dsa_file_is_refused() {
    let key = SecretKey::generate(Algorithm::MlDsa(ParameterSet::MlDsa44)).unwrap();
    let text = Keystore::encrypt(&key, PASSWORD, Cost::LIGHT)
        .unwrap()
        .to_json();
    let mut tried = 0;
    for name in ["publicKey", "salt", "nonce", "ciphertext", "tag"] {
        let at = text.find(&format!("\"{name}\": \"")).unwrap() + name.len() + 5;
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        let keystore = Keystore::parse(&changed).unwrap();
        assert!(
            matches!(keystore.decrypt(PASSWORD), Err(KeystoreError::Password)),
            "{name}"
        );
        tried += 1;
    }
    assert_eq!(tried, 5);
    let cheaper = text.replace("\"n\": 4096", "\"n\": 2048");
    assert!(matches!(
        Keystore::parse(&cheaper).unwrap().decrypt(PASSWORD),
        Err(KeystoreError::Password)
    ));
}

#[test]
fn bad_files_say_what_is_wrong() {
    for (old, new, words) in [
        ("\"version\": 3", "\"version\": 4", "version 4"),
        ("aes-128-ctr", "aes-256-cbc", "cipher"),
        ("scrypt", "argon2id", "argon2id"),
        ("\"n\": 262144", "\"n\": 262145", "scrypt parameters"),
        (
            "\"n\": 262144",
            "\"n\": 1099511627776",
            "more than is accepted",
        ),
        ("\"r\": 1", "\"r\": 4294967295", "more than is accepted"),
        ("\"r\": 1", "\"x\": 1", "no `r`"),
        ("83dbcc02", "83dbcc", "15 bytes in place of 16"),
        ("83dbcc02", "zz", "not hex"),
        ("\"dklen\": 32", "\"dklen\": 64", "64 bytes"),
    ] {
        let text = SCRYPT.replace(old, new);
        let error = Keystore::parse(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{new}: {error}");
    }
    let many = PBKDF2.replace("262144", "4000000000");
    assert!(matches!(
        Keystore::parse(&many),
        Err(KeystoreError::TooDear(_))
    ));
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "{\"keystore\": 1}",
        "{\"keystore\": \"pars/1\"}",
        "null",
    ] {
        assert!(
            matches!(Keystore::parse(text), Err(KeystoreError::Form(_))),
            "{text}"
        );
    }
}

#[test]
fn scalars_out_of_range_are_no_keys() {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    for bytes in [[0; 32], order, [0xff; 32]] {
        let key = SecretKey::new(Algorithm::Secp256k1, Zeroizing::new(bytes));
        assert!(matches!(key, Err(KeystoreError::Secret(_))));
    }
}

#[test]
fn a_folder_keeps_each_key_once_and_for_its_owner() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path().join("keys"));
    assert!(folder.list().unwrap().is_empty());
    let mut paths = Vec::new();
    for algorithm in KINDS {
        let key = SecretKey::generate(algorithm).unwrap();
        let keystore = Keystore::encrypt(&key, PASSWORD, Cost::LIGHT).unwrap();
        let path = folder.add(&keystore).unwrap();
        assert!(matches!(
            folder.add(&keystore),
            Err(KeystoreError::Exists(_))
        ));
        let found = folder.find(&keystore.named().unwrap()[..12]).unwrap();
        assert_eq!(found.path, path);
        let fresh = Keystore::encrypt(&key, b"other", Cost::LIGHT).unwrap();
        Folder::replace(&found, &fresh).unwrap();
        let key_again = Folder::read(&path)
            .unwrap()
            .keystore
            .decrypt(b"other")
            .unwrap();
        assert_eq!(key_again, key);
        paths.push(path);
    }
    std::fs::write(root.path().join("keys/note.txt"), "not a key").unwrap();
    assert_eq!(folder.list().unwrap().len(), 4);
    assert!(matches!(folder.find("ml-dsa"), Err(KeystoreError::Name(_))));
    assert!(matches!(folder.find("nobody"), Err(KeystoreError::Name(_))));
    #[cfg(unix)]
    for path in paths {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
