//! Multiple choice: the pair of texts that each option of a row makes.

use crate::config::DataConfig;
use crate::error::Problem;

use super::problems::{Content, Row, listed, quoted};

/// The columns of the options, which are among the further columns of a file.
pub(super) struct OptionColumns<'a> {
    names: &'a [String],
    /// Where each stands among a row's further cells.
    places: Vec<usize>,
    blank: Option<&'a str>,
}

impl<'a> OptionColumns<'a> {
    /// Those of the config.
    pub fn of(config: &'a DataConfig) -> Self {
        let names = &config.option_columns;
        let extra = &config.extra_columns;
        let place = |name| extra.iter().position(|extra| extra == name);
        Self {
            names,
            places: names.iter().filter_map(place).collect(),
            blank: config.option_blank.as_deref(),
        }
    }

    /// The columns that no row of the file has.
    pub fn missing_of(&self, file: &Content) -> Option<Problem> {
        let is_missing = |place: &usize| file.rows.iter().all(|row| row.extra[*place].is_none());
        let columns = self.places.iter().zip(self.names);
        let missing = columns.filter(|(place, _)| is_missing(place));
        let missing: Vec<String> = missing.map(|(_, name)| name.clone()).collect();
        if missing.is_empty() || file.rows.is_empty() {
            return None;
        }
        let message = format!("no column {} for `data.option_columns`", listed(&missing));
        if file.column_names.is_empty() {
            let hint = "a column has a name only if the first row is a header (`data.has_header`); without one its position, from 0, is its name";
            return Some(Problem::new(message).hint(hint));
        }
        let columns = listed(&file.column_names);
        Some(Problem::new(format!(
            "{message}; the columns are {columns}"
        )))
    }

    /// What the model reads for each option of a row; nothing where there are no options.
    ///
    /// # Errors
    /// An option that is missing or empty; a text without a blank, or with two.
    pub fn pairs_of(&self, row: &Row) -> Result<Vec<[String; 2]>, Problem> {
        let options = self.places.iter().zip(self.names);
        options
            .map(|(place, name)| {
                let option = row.extra[*place].as_deref().map(str::trim);
                let option = option.filter(|option| !option.is_empty()).ok_or_else(|| {
                    let message = format!("the option {} is empty", quoted(name));
                    Problem::new(message).hint("every row has all options of `data.option_columns`")
                })?;
                self.pair(row, option)
            })
            .collect()
    }

    fn pair(&self, row: &Row, option: &str) -> Result<[String; 2], Problem> {
        let Some(blank) = self.blank else {
            let second = match &row.text_pair {
                Some(start) => format!("{start} {option}"),
                None => option.to_owned(),
            };
            return Ok([row.text.clone(), second]);
        };
        let mut parts = row.text.split(blank);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(before), Some(after), None) => {
                Ok([before.trim_end().to_owned(), format!("{option}{after}")])
            }
            (_, after, _) => {
                let blank = quoted(blank);
                Err(Problem::new(if after.is_none() {
                    format!("the text has no {blank}, the place of the option")
                } else {
                    format!("the text has more than one {blank}, the place of the option")
                })
                .hint("`data.option_blank` says what stands for the option"))
            }
        }
    }
}
