//! Line plots as SVG: panels in a grid under one legend. The benchmarks draw with this file as well.

use std::fmt::Write;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of two.
    Log2,
    /// By powers of ten.
    Log10,
}

/// What an axis shows.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Quantity and unit.
    pub name: String,
    /// How values lie along it.
    pub scale: Scale,
}

impl Axis {
    /// An axis of this name and scale.
    pub fn new(name: impl Into<String>, scale: Scale) -> Self {
        Self {
            name: name.into(),
            scale,
        }
    }
}

/// A named line. Lines of one name have one colour in all panels.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Drawn with gaps, as a companion of a full line.
    pub dashed: bool,
    /// Abscissa and ordinate. On a logarithmic axis only positive values are drawn.
    pub points: Vec<(f64, f64)>,
}

/// One plot of several.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub curves: Vec<Curve>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 82.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Height of the title above all panels, and of a line of the legend below them.
const HEADER: f64 = 44.0;
const LEGEND: f64 = 22.0;
/// Most lines across an axis.
const MOST_TICKS: usize = 11;
/// Told apart without relying on red against green (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// The plots, so many beside each other. Nothing to draw gives empty axes.
pub fn svg(title: &str, columns: usize, panels: &[Panel]) -> String {
    let columns = columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns);
    let mut names: Vec<(&str, bool)> = Vec::new();
    for curve in panels.iter().flat_map(|panel| &panel.curves) {
        if !names.iter().any(|(name, _)| *name == curve.name) {
            names.push((&curve.name, curve.dashed));
        }
    }
    let width = WIDTH * real(columns);
    let per_row = columns * 2;
    let legend = real(names.len().div_ceil(per_row)) * LEGEND;
    let height = HEADER + HEIGHT * real(rows) + legend + 12.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"16\" y=\"28\" font-size=\"17\">{}</text>\n",
        escape(title)
    );
    let colour = |name: &str| {
        let at = names.iter().position(|(known, _)| *known == name);
        COLOURS
            .get(at.unwrap_or_default() % COLOURS.len())
            .copied()
            .unwrap_or_default()
    };
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = (
            WIDTH * real(number % columns),
            HEADER + HEIGHT * real(number / columns),
        );
        let _ = writeln!(out, "<g transform=\"translate({x} {y})\">");
        draw(&mut out, panel, &colour);
        out.push_str("</g>\n");
    }
    for (number, (name, dashed)) in names.iter().enumerate() {
        let x = 24.0 + width / real(per_row) * real(number % per_row);
        let y = HEADER + HEIGHT * real(rows) + LEGEND * real(number / per_row) + 8.0;
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{}\" stroke-width=\"2.5\"{}/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 26.0,
            colour(name),
            dashes(*dashed),
            x + 33.0,
            y + 4.0,
            escape(name)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Where the values of an axis lie, from 0 to 1, and the values that have a line and a number.
struct Range {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Range {
    fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let shown =
            values.filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low > high { (1.0, 2.0) } else { (low, high) };
        match scale {
            Scale::Linear => {
                let high = if high > 0.0 { high } else { 1.0 };
                // A step of 1, 2 or 5 times a power of ten.
                let power = 10f64.powf((high / 5.0).log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .into_iter()
                    .map(|digit| digit * power)
                    .find(|step| high / step <= 6.0)
                    .unwrap_or(high);
                let ticks = (0_u32..)
                    .map(|number| f64::from(number) * step)
                    .take_while(|tick| *tick < high + step)
                    .take(MOST_TICKS);
                let ticks: Vec<_> = ticks.collect();
                Self {
                    scale,
                    low: 0.0,
                    high: ticks.last().copied().unwrap_or(high).max(high),
                    ticks,
                }
            }
            Scale::Log2 => {
                let (low, high) = (low.log2(), high.log2());
                let every = ((high - low) / real(MOST_TICKS)).ceil().max(1.0);
                let ticks = (0_u32..)
                    .map(|number| low.ceil() + f64::from(number) * every)
                    .take_while(|power| *power <= high + 1e-9)
                    .map(f64::exp2)
                    .take(MOST_TICKS + 1);
                Self {
                    scale,
                    low,
                    high,
                    ticks: ticks.collect(),
                }
            }
            Scale::Log10 => {
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                let high = if high > low { high } else { low + 1.0 };
                let digits: &[f64] = if high - low > 4.0 {
                    &[1.0]
                } else {
                    &[1.0, 2.0, 5.0]
                };
                let decades = (0_u32..)
                    .map(|number| low + f64::from(number))
                    .take_while(|power| *power <= high);
                let ticks = decades
                    .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powf(power)))
                    .filter(|tick| tick.log10() <= high + 1e-9)
                    .take(4 * MOST_TICKS);
                Self {
                    scale,
                    low,
                    high,
                    ticks: ticks.collect(),
                }
            }
        }
    }

    /// `None` for what the scale cannot show.
    fn place(&self, value: f64) -> Option<f64> {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log2 => value.log2(),
            Scale::Log10 => value.log10(),
        };
        let place = if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            0.5
        };
        place.is_finite().then_some(place)
    }
}

fn draw<'a>(out: &mut String, panel: &'a Panel, colour: &dyn Fn(&'a str) -> &'static str) {
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let across = Range::new(panel.x.scale, points().map(|point| point.0));
    let up = Range::new(panel.y.scale, points().map(|point| point.1));
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x = |value: f64| Some(LEFT + across.place(value)? * (right - LEFT));
    let y = |value: f64| Some(bottom - up.place(value)? * (bottom - TOP));
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"26\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        escape(&panel.title)
    );
    for tick in &across.ticks {
        let Some(at) = x(*tick) else { continue };
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 17.0,
            number(*tick)
        );
    }
    for tick in &up.ticks {
        let Some(at) = y(*tick) else { continue };
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 7.0,
            at + 4.0,
            number(*tick)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text transform=\"translate(20 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, right),
        bottom + 38.0,
        escape(&panel.x.name),
        f64::midpoint(TOP, bottom),
        escape(&panel.y.name)
    );
    for curve in &panel.curves {
        let stroke = colour(&curve.name);
        let places: Vec<(f64, f64)> = curve
            .points
            .iter()
            .filter_map(|(across, up)| Some((x(*across)?, y(*up)?)))
            .collect();
        let path: Vec<String> = places
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2.2\"{}/>",
            path.join(" "),
            dashes(curve.dashed)
        );
        for (x, y) in places {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" fill=\"{stroke}\"/>"
            );
        }
    }
}

fn dashes(dashed: bool) -> &'static str {
    if dashed {
        " stroke-dasharray=\"7 5\""
    } else {
        ""
    }
}

/// Counts of panels and lines are small.
#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}

/// A tick in few characters.
fn number(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // Small decimals of a logarithmic axis.
    if value > 0.0 && value < 1e-3 {
        return format!("{value:e}");
    }
    format!("{text}{unit}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(scale: Scale, points: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: "a < b".to_owned(),
            x: Axis::new("x", scale),
            y: Axis::new("y", scale),
            curves: vec![Curve {
                name: "one & only".to_owned(),
                dashed: false,
                points,
            }],
        }
    }

    #[test]
    fn every_scale_draws_its_points_inside() {
        for scale in [Scale::Linear, Scale::Log2, Scale::Log10] {
            let text = svg(
                "title",
                2,
                &[
                    panel(scale, vec![(1.0, 0.003), (64.0, 7_000.0), (1_024.0, 12.0)]),
                    panel(scale, vec![(3.0, 3.0)]),
                    panel(scale, Vec::new()),
                    panel(
                        scale,
                        vec![(-1.0, f64::NAN), (0.0, f64::INFINITY), (2.0, 2.0)],
                    ),
                ],
            );
            assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            assert!(text.contains("a &lt; b") && text.contains("one &amp; only"));
            let circles = text.matches("<circle").count();
            assert!(circles >= 5, "{circles} points\n{text}");
        }
    }

    #[test]
    fn ticks_are_round() {
        let ticks = |scale, low, high| Range::new(scale, [low, high].into_iter()).ticks;
        assert_eq!(ticks(Scale::Linear, 10.0, 150.0), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(ticks(Scale::Log2, 1.0, 8.0), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(ticks(Scale::Log10, 30.0, 90.0), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(
            [0.5, 20.0, 16_384.0, 2e6, 3e9, 1e-5].map(number),
            ["0.5", "20", "16.384k", "2M", "3G", "1e-5"]
        );
    }
}
