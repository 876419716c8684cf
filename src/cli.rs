//! The command line: arguments in, exit code out.

mod logging;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{DEFAULT_RANDOM_STATE, Fraction, RuleShare};
use crate::dynamics::{DynamicsFormat, ExportFormat};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::{MapOptions, Variability};
use crate::pipeline::{
    self, AuditOptions, ColumnNames, ConfigOptions, Console, DeviceChoice, ExperimentAction,
    ExperimentOptions, ExportOptions, MapCommandOptions, PlotOptions, PredictOptions,
    ReportOptions, SelectOptions, Shard, Start,
};

/// Fine-tunes BERT-style text classifiers, draws the data map of their training set, and
/// retrains on the examples that matter.
#[derive(Debug, Parser)]
#[command(name = "enginora-rs", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more (twice: everything).
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say only what is wrong.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train, record, map, test, control: the main job.
    Loop {
        #[command(flatten)]
        config: ConfigArguments,
        /// Where to compute: auto, cpu, cuda or cuda:N.
        #[arg(long, default_value = "auto")]
        device: DeviceChoice,
        /// Go on with the latest run of the output folder that was stopped; without one a new run
        /// starts, and where it is complete there is nothing to do.
        #[arg(long)]
        resume: bool,
    },
    /// Check everything that can be checked without training.
    Validate {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Print the JSON Schema of the config, for editors.
    Schema,
    /// Write training dynamics as another program's files.
    Export {
        /// A run of ours, or dynamics of another program: a file or a folder.
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Who wrote the dynamics.
        #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = dynamics_formats())]
        format: String,
        /// Whose files to write.
        #[arg(long, value_name = "FORMAT")]
        to: ExportFormat,
        /// The folder for the files.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Make a data map of training dynamics, whoever recorded them.
    Map {
        /// A run of ours, or dynamics of another program: a file or a folder. Several, as of other
        /// seeds: a map of each, their mean map, and how much they agree.
        #[arg(value_name = "PATH", required_unless_present = "runs")]
        paths: Vec<PathBuf>,
        /// The same paths, said with a name.
        #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "paths")]
        runs: Vec<PathBuf>,
        /// Who wrote the dynamics.
        #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = dynamics_formats())]
        format: String,
        /// Use the first N epochs only.
        #[arg(long, value_name = "N")]
        burn_out: Option<usize>,
        /// Widen the variability by its confidence interval, as the paper's code does.
        #[arg(long)]
        include_ci: bool,
        /// Write tables, but draw nothing.
        #[arg(long)]
        no_plots: bool,
        /// The folder for the map's tables and pictures.
        #[arg(long, value_name = "DIR", default_value = "data_map")]
        output: PathBuf,
    },
    /// Rank a run's training examples by how likely their label is wrong.
    Audit {
        /// A run, or an output folder: the run whose training dynamics it shows.
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// Train K models with the run's config, each without one of K parts, and use what they
        /// say of the part that they have not seen, too.
        #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
        folds: Option<u32>,
        /// Train once more with 5 % of the labels made wrong, to estimate which share of the
        /// suspects is wrong. It goes by the run alone, so not with --folds.
        #[arg(long, conflicts_with = "folds")]
        calibrate: bool,
        /// The folder for the results. None: `audit` in the run's output folder.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Where to compute: auto, cpu, cuda or cuda:N.
        #[arg(long, default_value = "auto")]
        device: DeviceChoice,
    },
    /// Label new texts with a trained model.
    Predict {
        #[command(flatten)]
        model: ModelArguments,
        /// A file of texts (CSV, TSV, JSONL or Parquet, labels not needed), or a glob; may be
        /// given often.
        #[arg(long, value_name = "FILE", required_unless_present = "texts")]
        data: Vec<PathBuf>,
        /// A text, instead of files; may be given often.
        #[arg(long = "text", value_name = "TEXT", conflicts_with = "data")]
        texts: Vec<String>,
    },
    /// Measure a trained model on a labelled file.
    Evaluate {
        #[command(flatten)]
        model: ModelArguments,
        /// A file of texts with labels (CSV, TSV, JSONL or Parquet), or a glob; may be given
        /// often.
        #[arg(long, value_name = "FILE", required = true)]
        data: Vec<PathBuf>,
        /// A metric by scikit-learn's name; may be given often. None: the run's own.
        #[arg(long = "metric", value_name = "NAME")]
        metrics: Vec<String>,
    },
    /// Make a page of a run that opens in any browser, without a network: its map to look through,
    /// its examples, its numbers.
    Report {
        /// A run, an output folder, a map, or the folder of an experiment.
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// Another run of the same examples, as with another seed: the page says what changed.
        #[arg(value_name = "RUN_B")]
        other: Option<PathBuf>,
        /// Leave the examples' texts out.
        #[arg(long)]
        no_texts: bool,
        /// Where the page goes.
        #[arg(long, value_name = "FILE", default_value = "report.html")]
        output: PathBuf,
    },
    /// Draw a data map: the paper's figure, or any two of its signals.
    Plot {
        /// The map: a table (.parquet, .csv, .tsv, .jsonl, .pickle), a run, or a folder with a map.
        #[arg(value_name = "MAP")]
        map: PathBuf,
        /// The signal across, a column of the map.
        #[arg(long, value_name = "SIGNAL")]
        x: Option<String>,
        /// The signal up.
        #[arg(long, value_name = "SIGNAL")]
        y: Option<String>,
        /// What the colours show: a signal, `label` or another column, or `count`.
        #[arg(long, value_name = "SIGNAL")]
        color: Option<String>,
        /// Draw only these examples, as in `forgetfulness >= 1 and label = 'neg'`.
        #[arg(long = "where", value_name = "CONDITION")]
        condition: Option<String>,
        /// The picture: .svg or .png.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Train on subsets of the training set by regions of its map, sizes and seeds, and compare
    /// them: the paper's experiments.
    #[command(after_help = EXPERIMENT)]
    Experiment(ExperimentArguments),
    /// Pick a subset of a data set by its map: guids, or the data file's own rows.
    #[command(after_help = RULES)]
    Select(SelectArguments),
}

/// What `experiment --help` says of several processes.
const EXPERIMENT: &str = "\
What is done is never done again: a cell is kept under the hash of its config, the content of its
data and base weights, and the program's version. A grid that was stopped goes on with the same
command. Without --shard the part is that of a job array: SLURM_ARRAY_TASK_ID and
SLURM_ARRAY_TASK_COUNT (with _MIN and _STEP, without which the first task is 0), or JOB_COMPLETION_INDEX and JOB_COMPLETION_COUNT.";

#[derive(Debug, Args)]
struct ExperimentArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Cells to train side by side, at most one for each thread and fewer where the memory does
    /// not do.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Do the i-th of n parts of the grid; the parts share the output folder.
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    /// Print the cells, which of them are done, and how long the others will take.
    #[arg(long)]
    plan: bool,
    /// Gather the results of the cells that are done, and train nothing.
    #[arg(long, conflicts_with_all = ["plan", "shard"])]
    collect: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl From<ExperimentArguments> for ExperimentOptions {
    fn from(arguments: ExperimentArguments) -> Self {
        Self {
            config: arguments.config.into(),
            n_jobs: arguments.jobs.into(),
            shard: arguments.shard,
            action: match (arguments.plan, arguments.collect) {
                (true, _) => ExperimentAction::Plan,
                (_, true) => ExperimentAction::Collect,
                _ => ExperimentAction::Train,
            },
        }
    }
}

/// What `select --help` says of the rules.
const RULES: &str = "\
Rules, in the order in which they take turns; an example that one has picked is not there for the
next:
  hard_to_learn     lowest confidence
  easy_to_learn     highest confidence
  ambiguous         highest variability
  low_SIGNAL        lowest values of any column of numbers; such rules come as they are given
  high_SIGNAL       highest values
  both_ends_SIGNAL  of n examples floor(0.7 n) from the hard end and the others from the easy end
  random            any, each as likely

A fraction F of N examples is floor(F N), exactly. Ties go to the smaller `index` of the map, or to
the earlier row of a map without one.";

#[derive(Debug, Args)]
struct SelectArguments {
    /// A map: any table with the columns `guid` and those that the rules need (confidence,
    /// variability), or a run's or output folder: then the map that its config.resolved.yaml
    /// names, or else `data_map.parquet`, `td_metrics.jsonl` or `data_cartography_metrics.pickle`.
    #[arg(value_name = "MAP")]
    map: PathBuf,
    /// How much a rule picks, as in `ambiguous=0.33`; may be given often.
    #[arg(long = "fraction", value_name = "RULE=F", required = true)]
    shares: Vec<RuleShare>,
    /// Take the fractions within each class: the map's column `label`, or else `gold`.
    #[arg(long)]
    per_class: bool,
    /// The least share of `easy_to_learn` among the picks: where there are fewer, that rule picks
    /// so many (rounded up), and the last rules as many fewer. With --per-class: in each class.
    #[arg(long, value_name = "F", default_value = "0", hide_default_value = true)]
    min_easy: Fraction,
    /// Decides the random picks.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RANDOM_STATE)]
    seed: u64,
    /// Guids to leave out before anything is picked, so that fractions are of what is left: a
    /// text file with one a line, or a table with a column `guid`; of one with a column `mark`, as
    /// the page of a run gives it, those marked `mislabelled`.
    #[arg(long, value_name = "FILE")]
    drop: Option<PathBuf>,
    /// The data file, or a glob; the output is this file with only the selected rows, in its own
    /// order and to the byte. May be given often, for a data set in several files of one format:
    /// the output has the rows of all, below one header.
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The data file's id column. None: that of the run that MAP is part of, or `id` or `guid`,
    /// or the first of three columns without a header, or else row numbers from 0.
    #[arg(long, value_name = "NAME", requires = "data")]
    id_column: Option<String>,
    /// A table of every pick's guid, rule, rank and score, beside the output.
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,
    /// Where the selection goes. Without --data: guids one a line to .txt, or guid, rule, rank
    /// and score to .csv, .tsv, .jsonl, .parquet or .pickle, in the order of picking.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

impl From<SelectArguments> for SelectOptions {
    fn from(arguments: SelectArguments) -> Self {
        Self {
            map: arguments.map,
            shares: arguments.shares,
            per_class: arguments.per_class,
            min_easy: arguments.min_easy,
            seed: arguments.seed,
            drop: arguments.drop,
            data: arguments.data,
            id_column: arguments.id_column,
            provenance: arguments.provenance,
            output: arguments.output,
        }
    }
}

/// What `--format` takes.
fn dynamics_formats() -> PossibleValuesParser {
    let names = std::iter::once("auto").chain(DynamicsFormat::ALL.map(DynamicsFormat::name));
    let values = names.map(|name| match name {
        // What `export` calls the long table that it writes.
        "table" => PossibleValue::new(name).alias(ExportFormat::Csv.name()),
        _ => PossibleValue::new(name),
    });
    values.collect::<Vec<_>>().into()
}

/// The format of that name; none for `auto`.
fn dynamics_format(name: &str) -> Option<DynamicsFormat> {
    match name {
        "csv" => Some(DynamicsFormat::Table),
        _ => DynamicsFormat::ALL
            .into_iter()
            .find(|format| format.name() == name),
    }
}

#[derive(Debug, Args)]
struct ModelArguments {
    /// A run, an output folder, or a model folder in Hugging Face's layout.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Where the predictions go: .csv, .tsv, .jsonl, .parquet or .pickle.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The text column's name.
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// The second text's column name, for pairs of texts.
    #[arg(long, value_name = "NAME")]
    text_pair_column: Option<String>,
    /// The label column's name.
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// The id column's name.
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl From<ModelArguments> for PredictOptions {
    fn from(arguments: ModelArguments) -> Self {
        Self {
            model: arguments.model,
            output: arguments.output,
            columns: ColumnNames {
                text: arguments.text_column,
                text_pair: arguments.text_pair_column,
                label: arguments.label_column,
                id: arguments.id_column,
            },
            ..Self::default()
        }
    }
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// The run's YAML file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A setting that goes over the file's, as in `training.epochs=3`; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The folder for runs and results; wins over the config's.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

impl From<ConfigArguments> for ConfigOptions {
    fn from(arguments: ConfigArguments) -> Self {
        Self {
            config: arguments.config,
            overrides: arguments.overrides,
            output_dir: arguments.output_dir,
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "allowed: auto, cpu, cuda, cuda:N".to_owned()),
        }
    }
}

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What `--format` calls the same file.
        let name = if text == DynamicsFormat::Table.name() {
            Self::Csv.name()
        } else {
            text
        };
        let known = Self::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| format!("allowed: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Starts the threads that compute, which rayon would start at their first use, and panic where
/// the system refuses one.
fn start_threads() -> Result<()> {
    let started = rayon::ThreadPoolBuilder::new().build_global();
    started.map_err(|error| {
        let problem = Problem::new(format!("cannot start threads: {error}"));
        let hint = "raise the limits of memory and processes (`ulimit -v`, `ulimit -u`), or set `RAYON_NUM_THREADS=1`";
        Error::new(ErrorKind::Io, problem.hint(hint))
    })
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with exit code 0, mistakes to standard
            // error with 2.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    pipeline::listen();
    crate::nn::keep_freed_memory();
    let console = Console::new(!cli.quiet);
    logging::start(cli.quiet, cli.verbose, &console);
    match start_threads().and_then(|()| run(cli.command, &console)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run(command: Command, console: &Console) -> Result<()> {
    match command {
        Command::Loop {
            config,
            device,
            resume,
        } => {
            let start = if resume { Start::Resume } else { Start::Anew };
            pipeline::run_loop(&config.into(), start, device, console)
        }
        Command::Validate { config } => pipeline::validate(&config.into()),
        Command::Audit {
            run,
            folds,
            calibrate,
            output,
            device,
        } => {
            let options = AuditOptions {
                run,
                folds: folds.map(|n| n as usize),
                calibrate,
                output,
            };
            pipeline::run_audit(&options, device, console)
        }
        Command::Predict { model, data, texts } => {
            let device = model.device;
            let options = PredictOptions {
                data,
                texts,
                ..model.into()
            };
            pipeline::run_predict(&options, device, console)
        }
        Command::Evaluate {
            model,
            data,
            metrics,
        } => {
            let device = model.device;
            let options = PredictOptions {
                data,
                metrics,
                ..model.into()
            };
            pipeline::run_evaluate(&options, device, console)
        }
        Command::Experiment(arguments) => {
            let device = arguments.device;
            pipeline::run_experiment(&arguments.into(), device, console)
        }
        Command::Select(arguments) => pipeline::run_select(&arguments.into()),
        Command::Report {
            run,
            other,
            no_texts,
            output,
        } => pipeline::run_report(&ReportOptions {
            run,
            other,
            texts: !no_texts,
            output,
        }),
        Command::Plot {
            map,
            x,
            y,
            color,
            condition,
            output,
        } => pipeline::run_plot(&PlotOptions {
            map,
            x,
            y,
            color,
            condition,
            output,
        }),
        Command::Export {
            path,
            format,
            to,
            output,
        } => pipeline::run_export(&ExportOptions {
            path,
            format: dynamics_format(&format),
            to,
            output,
        }),
        Command::Map {
            mut paths,
            runs,
            format,
            burn_out,
            include_ci,
            no_plots,
            output,
        } => {
            paths.extend(runs);
            pipeline::run_map(&MapCommandOptions {
                paths,
                format: dynamics_format(&format),
                map: MapOptions {
                    burn_out,
                    variability: if include_ci {
                        Variability::WithConfidenceInterval
                    } else {
                        Variability::Plain
                    },
                },
                plots: !no_plots,
                output,
            })
        }
        Command::Schema => {
            // A reader that has seen enough, as `head` has, is no failure.
            let _ = io::stdout().write_all(pipeline::schema().as_bytes());
            Ok(())
        }
    }
}
