//! `plot`: the picture of a map, the paper's figure or any two signals.

use std::path::{Path, PathBuf};

use crate::config::nearest;
use crate::data::Table;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::map::{Condition, Forgetfulness};
use crate::pipeline::PICTURE_SCALE;
use crate::pipeline::find_map::{config_beside, find_map};
use crate::pipeline::ready_model::thousands;
use crate::report::figure::{FigurePoint, MapFigure, data_map_svg};
use crate::report::groups::{categories, highlighted, times};
use crate::report::raster;
use crate::report::scatter::{Colour, Scatter, Signal, has_place, scatter_svg};
use crate::report::text::first_unbundled;

/// What the command needs of the command line.
#[derive(Debug, Clone, Default)]
pub struct PlotOptions {
    /// A map's table, or a folder that has one.
    pub map: PathBuf,
    /// The column across; none: variability, or `TrustAI`'s `label_var`.
    pub x: Option<String>,
    /// The column up; none: confidence, or `TrustAI`'s `avg_probs`.
    pub y: Option<String>,
    /// The column that the colours show, or `count`; none: correctness, where the map has it.
    pub color: Option<String>,
    /// Which examples are drawn; none: all.
    pub condition: Option<String>,
    /// The picture; `.svg` or `.png`.
    pub output: PathBuf,
}

/// Draws a map.
///
/// # Errors
/// A map that cannot be read, a column that it lacks or that does not hold what it is used for,
/// a condition that cannot be parsed or that no example fulfils, a picture that cannot be
/// written.
pub fn run_plot(options: &PlotOptions) -> Result<()> {
    let format = Format::of(&options.output)?;
    let map = Map::read(find_map(&options.map)?)?;
    let picture = map.picture(options)?;
    let rows = map.rows(&picture, options.condition.as_deref())?;
    let picture = Scatter {
        note: left_out_note(&picture, rows.n_without_place),
        ..picture.of_rows(&rows.drawn)
    };
    let svg = match paper_figure(&picture) {
        Some(svg) => svg?,
        None => scatter_svg(&picture)?,
    };
    write(&svg, format, &options.output)
}

/// A picture's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => {
                let message = format!(
                    "`--output {}` is no picture; allowed: .svg, .png",
                    path.display()
                );
                Err(usage(message, "name it as in `--output map.svg`"))
            }
        }
    }
}

fn write(svg: &str, format: Format, path: &Path) -> Result<()> {
    match format {
        Format::Svg => fsio::write(path, svg.as_bytes())?,
        Format::Png => {
            if let Some(c) = first_unbundled(svg) {
                tracing::warn!(
                    "the font for PNG lacks `{c}` and perhaps others, which are question marks there: write .svg, which a browser shows in its own fonts"
                );
            }
            fsio::write(path, &raster::png(svg, PICTURE_SCALE)?)?;
        }
    }
    tracing::info!("the picture is in {}", path.display());
    Ok(())
}

/// What a map is a map of: the training file of its run, as the run's own picture says, else
/// the map's own file.
fn data_name(map: &Path) -> String {
    // An output folder shows the map of one run and perhaps the config of a later one.
    let map = map.canonicalize().unwrap_or_else(|_| map.to_owned());
    let config = config_beside(&map).ok().flatten().filter(|config| {
        let results = &config.training.data_cartography_results;
        results.file_name() == map.file_name()
    });
    let dataset = config
        .as_ref()
        .map(|config| config.training.dataset_path.names());
    let path = match dataset {
        Some([one]) => one,
        _ => &map,
    };
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A map's table and where it is.
struct Map {
    path: PathBuf,
    table: Table,
}

/// Which rows are drawn, in which order.
struct Rows {
    drawn: Vec<usize>,
    /// How many more would be drawn if they had values on both axes.
    n_without_place: usize,
}

/// Columns of how often an example was right, by ours and other programs' names.
const CORRECTNESS: [&str; 3] = ["correctness", "correct_ratio", "correct_times"];

/// Columns that are categories also where they are written in digits.
const CATEGORIES: [&str; 5] = ["label", "true_label", "gold", "pred_label", "noisy_label"];

/// The mark of mislabelled examples in `TrustAI`'s column `s_label`.
const DIRTY: f64 = 2.0;

impl Map {
    fn read(path: PathBuf) -> Result<Self> {
        let table = Table::read(&path)?;
        Ok(Self { path, table })
    }

    /// The picture of all rows, also those without a place on the axes.
    fn picture(&self, options: &PlotOptions) -> Result<Scatter> {
        let name = data_name(&self.path);
        let only = options.condition.as_ref();
        let only = only.map_or_else(String::new, |text| format!(", only {}", text.trim()));
        Ok(Scatter {
            title: format!("Data map of {name}{only}"),
            note: String::new(),
            x: self.axis("x", options.x.as_deref(), ["variability", "label_var"])?,
            y: self.axis("y", options.y.as_deref(), ["confidence", "avg_probs"])?,
            colour: self.colour(options.color.as_deref())?,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.table.names().any(|column| column == name)
    }

    /// The signal of an axis: the one asked for, or the first of the usual ones.
    fn axis(&self, axis: &str, asked: Option<&str>, usual: [&str; 2]) -> Result<Signal> {
        let usual_name = usual.into_iter().find(|name| self.has(name));
        let Some(name) = asked.or(usual_name) else {
            let message = format!("no column {} for the axis", usual.join(" or "));
            let hint = format!(
                "name another with `--{axis}`: the columns are {}",
                self.columns()
            );
            return Err(Error::data(
                Problem::new(message).in_file(&self.path).hint(hint),
            ));
        };
        let mut values = self.reals(name, &format!("--{axis}"))?;
        if name == "forgetfulness" {
            // The number that stands for "never learnt" is no number of times; the axis has a
            // place of its own for it.
            let never_learnt = f64::from(Forgetfulness::NeverLearnt.exported());
            for value in values.iter_mut().filter(|value| **value >= never_learnt) {
                *value = f64::INFINITY;
            }
        }
        Ok(Signal {
            name: name.to_owned(),
            values,
        })
    }

    /// What the colours show; none asked for: correctness, where the map has it.
    fn colour(&self, asked: Option<&str>) -> Result<Colour> {
        let usual = CORRECTNESS.into_iter().find(|name| self.has(name));
        let Some(name) = asked.or(usual) else {
            return Ok(Colour::Plain);
        };
        if name == "count" && !self.has(name) {
            return Ok(Colour::Count);
        }
        let groups = |groups| Colour::Groups {
            name: name.to_owned(),
            groups,
        };
        match name {
            _ if CORRECTNESS.contains(&name) => self.correctness(name),
            "forgetfulness" | "forgetting_times" | "learnt_times" => {
                let ratio = self.table.reals("correct_ratio");
                Ok(groups(times(&self.all_reals(name)?, ratio.as_deref())))
            }
            "s_label" if self.table.reals(name).is_some() => {
                let marks = self.reals(name, "--color")?;
                let is_dirty: Vec<bool> = marks.iter().map(|mark| *mark == DIRTY).collect();
                Ok(groups(highlighted(&is_dirty, "2, mislabelled", "others")))
            }
            _ if !CATEGORIES.contains(&name) && self.table.reals(name).is_some() => {
                Ok(Colour::Signal(Signal {
                    name: name.to_owned(),
                    values: self.reals(name, "--color")?,
                }))
            }
            _ => Ok(groups(categories(&self.categories(name)?))),
        }
    }

    fn categories(&self, name: &str) -> Result<Vec<String>> {
        let Some(texts) = self.table.texts(name) else {
            // A missing column has an error of its own.
            let numbers = self.reals(name, "--color")?;
            return Ok(numbers.iter().map(ToString::to_string).collect());
        };
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort();
        if sorted.len() > 8 && sorted.windows(2).all(|pair| pair[0] != pair[1]) {
            let message = format!("`--color {name}`: no two examples have the same");
            let hint = "colour by a signal, or by a column with few values such as `label`";
            return Err(usage(message, hint));
        }
        Ok(texts)
    }

    /// The epochs in which each example was right, and how many epochs there were.
    fn correctness(&self, name: &str) -> Result<Colour> {
        let values = self.all_reals(name)?;
        let n_epochs = self.n_epochs();
        let scale = match (name, n_epochs) {
            ("correct_ratio", Some(n)) => n as f64,
            // Fine enough to go to the nearest of the classes.
            ("correct_ratio", None) => 1000.0,
            _ => 1.0,
        };
        let is_right = |value: f64| match name {
            "correct_ratio" => (0.0..=1.0).contains(&value),
            // The mean of several runs need not be whole.
            _ => value >= 0.0 && value <= f64::from(u32::MAX),
        };
        if let Some(row) = values.iter().position(|value| !is_right(*value)) {
            let message = format!("`{name}` of row {} is `{}`", row + 1, values[row]);
            let hint = "it counts epochs, or is a fraction of them from 0 to 1";
            return Err(Error::data(
                Problem::new(message).in_file(&self.path).hint(hint),
            ));
        }
        let n_epochs = match name {
            "correct_ratio" => scale as usize,
            _ => n_epochs.unwrap_or(1),
        };
        Ok(Colour::Correctness {
            name: name.to_owned(),
            n_epochs,
            values: values.iter().map(|x| (x * scale).round() as u32).collect(),
        })
    }

    /// The number of epochs: of an example that was right most often, how often that was, over
    /// the fraction of the epochs that it was; without a column of fractions that number itself,
    /// as if it had always been right. None without a column of counts.
    fn n_epochs(&self) -> Option<usize> {
        let counts = ["correctness", "correct_times"]
            .iter()
            .find_map(|name| self.table.reals(name))?;
        let (row, most) = counts
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let ratio = self.table.reals("correct_ratio");
        let n_epochs = match ratio.map(|ratio| ratio[row]) {
            Some(ratio) if ratio > 0.0 && ratio <= 1.0 => most / ratio,
            _ => *most,
        };
        Some(n_epochs.round().clamp(1.0, f64::from(u32::MAX)) as usize)
    }

    /// The rows that fulfil the condition and have a place on both axes, in the order of the
    /// column `index` where there is one, then of what is drawn, so that the order of the
    /// table's rows does not matter.
    fn rows(&self, picture: &Scatter, condition: Option<&str>) -> Result<Rows> {
        let n = self.table.n_rows();
        let is_wanted = match condition {
            None => vec![true; n],
            Some(text) => Condition::parse(text, self.table.names())?.rows(&self.table)?,
        };
        let wanted: Vec<usize> = (0..n).filter(|row| is_wanted[*row]).collect();
        if condition.is_some() {
            let (n_wanted, n) = (thousands(wanted.len()), thousands(n));
            tracing::info!("{n_wanted} of {n} examples fulfil the condition");
        }
        let (x, y) = (&picture.x.values, &picture.y.values);
        let mut drawn = wanted.clone();
        drawn.retain(|row| has_place(x[*row]) && has_place(y[*row]));
        if drawn.is_empty() {
            let message = match wanted.len() {
                0 if condition.is_some() => "no example fulfils the condition",
                0 => "the map has no examples",
                _ => "no example has values on both axes",
            };
            return Err(Error::data(Problem::new(message).in_file(&self.path)));
        }
        let index = self.table.reals("index").unwrap_or_else(|| vec![0.0; n]);
        let colour = |row: usize| match &picture.colour {
            Colour::Plain | Colour::Count => 0.0,
            Colour::Signal(signal) => signal.values[row],
            Colour::Correctness { values, .. } => f64::from(values[row]),
            Colour::Groups { groups, .. } => groups.of[row] as f64,
        };
        drawn.sort_by(|a, b| {
            let values = |row: usize| [index[row], x[row], y[row], colour(row)];
            let pairs = values(*a).into_iter().zip(values(*b));
            let mut orders = pairs.map(|(a, b)| a.total_cmp(&b));
            orders
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(Rows {
            n_without_place: wanted.len() - drawn.len(),
            drawn,
        })
    }

    /// A column of numbers, NaN where there is none.
    fn reals(&self, name: &str, option: &str) -> Result<Vec<f64>> {
        if !self.has(name) {
            let meant = nearest(name, self.table.names());
            let meant = meant.map_or_else(String::new, |name| format!("is `{name}` meant? "));
            let message = format!("`{option} {name}`: the map has no such column");
            let hint = format!("{meant}the columns are {}", self.columns());
            return Err(Error::new(
                ErrorKind::Usage,
                Problem::new(message).in_file(&self.path).hint(hint),
            ));
        }
        self.table.reals(name).ok_or_else(|| {
            let texts = self.table.texts(name).unwrap_or_default();
            let is_number =
                |text: &String| text.trim().is_empty() || text.trim().parse::<f64>().is_ok();
            let other = texts.iter().position(|text| !is_number(text));
            let example = other.map_or_else(String::new, |row| {
                format!(", `{}` of row {}", texts[row], row + 1)
            });
            let message = format!("`{option} {name}`: it does not hold numbers{example}");
            let hint = format!("choose another of the columns {}", self.columns());
            Error::new(
                ErrorKind::Usage,
                Problem::new(message).in_file(&self.path).hint(hint),
            )
        })
    }

    /// A column of numbers of which none is missing.
    fn all_reals(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.reals(name, "--color")?;
        match values.iter().position(|value| value.is_nan()) {
            None => Ok(values),
            Some(row) => {
                let message = format!("`{name}` of row {} is missing", row + 1);
                Err(Error::data(Problem::new(message).in_file(&self.path)))
            }
        }
    }

    fn columns(&self) -> String {
        self.table.names().collect::<Vec<_>>().join(", ")
    }
}

fn left_out_note(picture: &Scatter, n_without_place: usize) -> String {
    if n_without_place == 0 {
        return String::new();
    }
    let (x, y) = (&picture.x.name, &picture.y.name);
    let note = format!("{} without {x} or {y} left out", thousands(n_without_place));
    tracing::info!("{note}");
    note
}

/// The paper's figure, where that is what is to be seen.
fn paper_figure(picture: &Scatter) -> Option<Result<String>> {
    let is_papers = picture.x.name == "variability" && picture.y.name == "confidence";
    match &picture.colour {
        Colour::Correctness {
            name,
            n_epochs,
            values,
        } if is_papers && name == "correctness" => {
            let places = picture.x.values.iter().zip(&picture.y.values);
            let points: Vec<FigurePoint> = places
                .zip(values)
                .map(|((variability, confidence), correctness)| FigurePoint {
                    confidence: *confidence,
                    variability: *variability,
                    correctness: *correctness,
                })
                .collect();
            Some(data_map_svg(&MapFigure {
                title: &picture.title,
                n_epochs: *n_epochs,
                points: &points,
            }))
        }
        _ => None,
    }
}

fn usage(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::Usage, Problem::new(message).hint(hint))
}
