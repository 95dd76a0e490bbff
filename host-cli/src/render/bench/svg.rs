//! The pieces of a drawing. Colours and fonts are the style sheet's: here are classes only.

use std::fmt::{self, Write as _};

/// A drawing that is put together piece by piece.
pub(super) struct Drawing {
    text: String,
}

/// Where the anchor of a text is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    /// One with a name and a description, for those who hear it.
    pub(super) fn new(id: &str, width: f64, height: f64, title: &str, description: &str) -> Self {
        let (title, description) = (escape(title), escape(description));
        let text = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{description}</desc>\n"
        );
        Self { text }
    }

    /// One that says nothing of its own.
    pub(super) fn plain(width: f64, height: f64) -> Self {
        Self { text: format!("<svg viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">\n") }
    }

    fn add(&mut self, piece: fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.text.write_fmt(piece);
        self.text.push('\n');
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    pub(super) fn words(&mut self, class: &str, at: (f64, f64), anchor: Anchor, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let ((x, y), words) = (at, escape(words));
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    /// A line through points, or the area within it.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let mut data = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            // Writing to a string can't fail.
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        if closed {
            data.push('Z');
        }
        self.add(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    /// A mark whose form says which mode it is, for those who don't see its colour; its words show on hovering.
    pub(super) fn mark(&mut self, class: &str, form: usize, at: (f64, f64), words: &str) {
        let ((x, y), words) = (at, escape(words));
        let outline = match form % 5 {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            1 => polygon(at, &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
            2 => polygon(at, &[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)]),
            3 => polygon(at, &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)]),
            _ => polygon(at, &[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)]),
        };
        self.add(format_args!("<g class=\"{class}\">{outline}<title>{words}</title></g>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn polygon(at: (f64, f64), corners: &[(f64, f64)]) -> String {
    let points: Vec<String> =
        corners.iter().map(|(x, y)| format!("{:.1},{:.1}", at.0 + x, at.1 + y)).collect();
    format!("<polygon points=\"{}\"/>", points.join(" "))
}

/// Text that stays text within a page, whoever wrote it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
