//! The findings as one page: everything is in it, nothing is loaded from anywhere, and no script runs.

use std::fmt::Write as _;

use super::plots::{class_of, plots};
use super::sheets::{Sheet, circumstances, headline, missing, sheets};
use super::svg::{Drawing, escape};
use crate::bench::{Findings, Found};
use crate::render::show;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn page(findings: &Findings) -> String {
    let title = headline(findings).replace('`', "");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>sandtrap bench: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        title = escape(&title)
    );
    page.push_str(&header(findings));
    add_list(&mut page, "What to make of it", "advice", &findings.advice);
    add_list(&mut page, "Take care", "warnings", &findings.warnings);
    page.push_str(&figures(findings));
    for sheet in sheets(findings) {
        page.push_str(&table(&sheet));
    }
    add_list(&mut page, "What is not here", "missing", &missing(findings));
    page.push_str(
        "<footer>Made by <code>sandtrap bench</code>. Times are those of a caller, with the whole report; the ratio is \
         the worse one of the least and the median.</footer>\n</main>\n</body>\n</html>\n",
    );
    page
}

fn header(findings: &Findings) -> String {
    let mut text = format!(
        "<header>\n<p class=\"mark\">sandtrap bench</p>\n<h1>{}</h1>\n<p class=\"where\">{}</p>\n</header>\n",
        code(&headline(findings)),
        escape(&circumstances(findings))
    );
    text.push_str("<ul class=\"cards\">\n");
    for found in &findings.modes {
        text.push_str(&card(found, findings));
    }
    text.push_str("</ul>\n");
    text
}

/// The one figure of a mode that most people want.
fn card(found: &Found, findings: &Findings) -> String {
    let (class, _) = class_of(found.mode);
    let fastest = findings.fastest().map(|fastest| &fastest.call);
    let ratio = match fastest {
        Some(fastest) if *fastest != found.call => {
            format!("{} the fastest", show::times(found.call.ratio_to(fastest)))
        }
        _ => "the fastest".to_owned(),
    };
    format!(
        "<li class=\"{class}\">{}<span class=\"name\">{}</span><strong>{}</strong><span>{ratio}</span>\
         <small>{}</small></li>\n",
        key(found),
        found.mode.name(),
        show::time(found.call.median),
        found.mode.meaning()
    )
}

/// The mark of a mode, as it stands in the plots.
fn key(found: &Found) -> String {
    let (class, form) = class_of(found.mode);
    let mut drawing = Drawing::plain(14.0, 14.0);
    drawing.mark(&format!("mark {class}"), form, (7.0, 7.0), found.mode.name());
    drawing.finish()
}

fn figures(findings: &Findings) -> String {
    let mut keys = String::from("<ul class=\"keys\" aria-hidden=\"true\">");
    for found in &findings.modes {
        // Writing to a string can't fail.
        let _ = write!(keys, "<li>{}{}</li>", key(found), found.mode.name());
    }
    keys.push_str("</ul>\n");
    let mut text = String::from("<section class=\"plots\">\n");
    for plot in plots(findings) {
        let keys = if plot.is_labelled { "" } else { &keys };
        let _ = write!(
            text,
            "<figure>\n<figcaption>{}</figcaption>\n{}{keys}</figure>\n",
            plot.title, plot.drawing
        );
    }
    text.push_str("</section>\n");
    text
}

fn table(sheet: &Sheet) -> String {
    let mut text = format!(
        "<section>\n<h2>{}</h2>\n<p class=\"note\">{}</p>\n<table>\n<thead><tr>",
        sheet.title,
        code(&sheet.note)
    );
    for name in &sheet.head {
        // Writing to a string can't fail.
        let _ = write!(text, "<th scope=\"col\">{}</th>", escape(name));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for cells in &sheet.rows {
        text.push_str("<tr>");
        for (column, (name, cell)) in sheet.head.iter().zip(cells).enumerate() {
            let (name, shown) = (escape(name), code(cell));
            let _ = match column {
                0 => write!(text, "<th scope=\"row\">{shown}</th>"),
                _ => write!(text, "<td data-name=\"{name}\">{shown}</td>"),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n");
    if let Some(foot) = sheet.foot {
        // The same.
        let _ = writeln!(text, "<p class=\"note\">{}</p>", escape(foot));
    }
    text.push_str("</section>\n");
    text
}

fn add_list(page: &mut String, title: &str, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    // Writing to a string can't fail.
    let _ = write!(page, "<section class=\"{class}\">\n<h2>{title}</h2>\n<ul>\n");
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", code(line));
    }
    page.push_str("</ul>\n</section>\n");
}

/// What stands in backticks is code.
fn code(text: &str) -> String {
    let mut shown = String::new();
    for (place, part) in escape(text).split('`').enumerate() {
        if place > 0 {
            shown.push_str(if place % 2 == 1 { "<code>" } else { "</code>" });
        }
        shown.push_str(part);
    }
    if text.matches('`').count() % 2 == 1 {
        shown.push_str("</code>");
    }
    shown
}
