//! What a collector is sent, read by nobody of those who have written it: the numbers of fields are those of
//! OpenTelemetry's own description (`metrics.proto`).

/// The fields of one message, in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(number(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(
                *part(&mut bytes, 8).first_chunk().expect("8 bytes"),
            )),
            2 => {
                let length = number(&mut bytes);
                Field::Bytes(part(&mut bytes, usize::try_from(length).expect("a length")))
            }
            other => panic!("a field of kind {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn part<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    bytes.split_off(..length).expect("a whole message")
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = part(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

/// The messages in a message that have this number.
fn inner(bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let fields = fields(bytes).into_iter().filter(|(number, _)| *number == wanted);
    fields.filter_map(|(_, it)| if let Field::Bytes(it) = it { Some(it) } else { None }).collect()
}

fn plain(bytes: &[u8], wanted: u64) -> Option<u64> {
    let found = fields(bytes).into_iter().find(|(number, _)| *number == wanted);
    found.and_then(|(_, it)| if let Field::Number(it) = it { Some(it) } else { None })
}

fn text(bytes: &[u8], wanted: u64) -> String {
    let found = inner(bytes, wanted).first().map(|it| String::from_utf8_lossy(it).into_owned());
    found.unwrap_or_default()
}

/// The labels of a point, as Prometheus is given them.
fn labels(point: &[u8], wanted: u64) -> String {
    let pairs = inner(point, wanted).into_iter().map(|pair| {
        let value = inner(pair, 2).first().map(|value| text(value, 1)).unwrap_or_default();
        format!("{}=\"{value}\"", text(pair, 1))
    });
    let all: Vec<String> = pairs.collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// The metrics of an export, a line each.
pub(crate) fn metrics(body: &[u8]) -> Vec<String> {
    let scopes = inner(body, 1).into_iter().flat_map(|resource| inner(resource, 2));
    scopes.flat_map(|scope| inner(scope, 2)).flat_map(lines).collect()
}

fn lines(metric: &[u8]) -> Vec<String> {
    let (name, mut lines) = (text(metric, 1), Vec::new());
    let points = |kind| inner(metric, kind).into_iter().flat_map(|data| inner(data, 1));
    for point in points(5).chain(points(7)) {
        let whole = plain(point, 6).map(|value| value.to_string());
        let value = whole.or_else(|| Some(f64::from_bits(plain(point, 4)?).to_string()));
        lines.push(format!("{name}{} {}", labels(point, 7), value.expect("a value")));
    }
    for point in points(9) {
        let (labels, count) = (labels(point, 9), plain(point, 4).expect("a count"));
        lines.push(format!("{name}_count{labels} {count}"));
        let packed = inner(point, 6);
        let buckets =
            packed.iter().flat_map(|all| all.as_chunks().0).map(|it| u64::from_le_bytes(*it));
        lines.push(format!("{name}_bucket{labels} {:?}", buckets.collect::<Vec<_>>()));
    }
    lines
}
