//! What a scalar means: YAML 1.1 as go-yaml v2 resolves it, and how Go's encoding/json prints it.

use std::fmt::Write as _;

/// A node's tag, as far as it matters to a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    None,
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    Merge,
    /// Any other: the scalar is a string.
    Other,
}

impl Tag {
    /// From the full name, handle resolved.
    pub fn from_name(name: &str) -> Self {
        match name.strip_prefix("tag:yaml.org,2002:") {
            Some("str") => Self::Str,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("null") => Self::Null,
            Some("timestamp") => Self::Timestamp,
            Some("binary") => Self::Binary,
            Some("merge") => Self::Merge,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None | Self::Str | Self::Other => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
            Self::Timestamp => "!!timestamp",
            Self::Binary => "!!binary",
            Self::Merge => "!!merge",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX` only.
    UInt(u64),
    Float(f64),
    /// The scalar's own text.
    Text,
    /// Decoded from base64.
    Binary(String),
}

impl Value {
    fn tag(&self) -> Tag {
        match self {
            Self::Null => Tag::Null,
            Self::Bool(_) => Tag::Bool,
            Self::Int(_) | Self::UInt(_) => Tag::Int,
            Self::Float(_) => Tag::Float,
            Self::Text | Self::Binary(_) => Tag::Str,
        }
    }
}

/// The value of a scalar; `plain`: written without quotes, or with the tag `!`.
pub fn resolve(text: &str, plain: bool, tag: Tag) -> Result<Value, String> {
    match tag {
        Tag::Str | Tag::Merge | Tag::Other => Ok(Value::Text),
        Tag::None if plain => Ok(implicit(text)),
        Tag::None => Ok(Value::Text),
        Tag::Binary => {
            binary(text).map(Value::Binary).ok_or_else(|| "!!binary value contains invalid base64 data".to_owned())
        }
        Tag::Timestamp if is_timestamp(text) => Ok(Value::Text),
        Tag::Timestamp | Tag::Bool | Tag::Int | Tag::Float | Tag::Null => {
            let value = implicit(text);
            match (&value, tag) {
                #[expect(clippy::cast_precision_loss, reason = "Go's conversion is the same")]
                (Value::Int(number), Tag::Float) => Ok(Value::Float(*number as f64)),
                _ if value.tag() == tag => Ok(value),
                _ => Err(format!("cannot decode {} `{text}` as a {}", value.tag().name(), tag.name())),
            }
        }
    }
}

fn implicit(text: &str) -> Value {
    let Some(first) = text.bytes().next() else { return Value::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' => dotted(text),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Value::Text,
    }
}

fn word(text: &str) -> Value {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => Value::Text,
    }
}

/// `.5`, `.inf`, `.nan`. An underscore counts between two digits only, unlike in [`number`].
fn dotted(text: &str) -> Value {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" => return Value::Float(f64::INFINITY),
        _ => {}
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let misplaced = |at: usize| bytes[at] == b'_' && !(digit(at - 1) && digit(at + 1));
    if (1..bytes.len()).any(misplaced) {
        return Value::Text;
    }
    decimal(&text.replace('_', ""))
}

fn number(text: &str) -> Value {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let stripped;
    let text = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    if let Some(value) = integer(text) {
        return value;
    }
    let value = decimal(text);
    if value != Value::Text {
        return value;
    }
    // go-yaml reads what follows a lower-case 0b as a number of its own, sign and all.
    let binary = text.strip_prefix("0b").and_then(|digits| i64::from_str_radix(digits, 2).ok());
    binary.map_or(Value::Text, Value::Int)
}

/// Go's ParseInt and ParseUint with base 0: 0x, 0o, 0b in either case, a bare 0 is octal.
fn integer(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes()[0] {
        b'+' | b'-' => text.split_at(1),
        _ => text.split_at(0),
    };
    let bytes = digits.as_bytes();
    let (radix, digits) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (i64::try_from(magnitude), sign) {
        (Ok(number), "-") => Some(Value::Int(-number)),
        (Ok(number), _) => Some(Value::Int(number)),
        (Err(_), "-") => (magnitude == i64::MIN.unsigned_abs()).then_some(Value::Int(i64::MIN)),
        (Err(_), "") => Some(Value::UInt(magnitude)),
        (Err(_), _) => None,
    }
}

/// A float by YAML's pattern; one that overflows is text.
fn decimal(text: &str) -> Value {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let good_mantissa = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let good_exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !(good_mantissa && good_exponent) {
        return Value::Text;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Float(number),
        _ => Value::Text,
    }
}

/// Looks like a date: go-yaml keeps it as text, so its calendar is not checked here.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 5 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

fn binary(text: &str) -> Option<String> {
    let symbols: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    if !symbols.len().is_multiple_of(4) {
        return None;
    }
    let padding = symbols.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for symbol in &symbols[..symbols.len() - padding] {
        let six = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    // encoding/json puts one replacement character for every byte that is not UTF-8.
    let mut text = String::with_capacity(out.len());
    for chunk in out.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    Some(text)
}

/// The scalar as JSON; None: a float that JSON cannot hold.
pub fn write_json(out: &mut Vec<u8>, value: &Value, text: &str) -> Option<()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_display(out, number),
        Value::UInt(number) => write_display(out, number),
        Value::Float(number) if !number.is_finite() => return None,
        Value::Float(number) => out.extend_from_slice(float_json(*number).as_bytes()),
        Value::Text => write_string(out, text),
        Value::Binary(text) => write_string(out, text),
    }
    Some(())
}

fn write_display(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// What a mapping key becomes; None: of a type that cannot be one (null, an integer above `i64::MAX`).
pub fn write_key(out: &mut Vec<u8>, value: &Value, text: &str) -> Option<()> {
    match value {
        Value::Null | Value::UInt(_) => return None,
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"\"true\"" } else { b"\"false\"" }),
        Value::Int(number) => write_display(out, format_args!("\"{number}\"")),
        Value::Float(number) => write_string(out, &float_key(*number)),
        Value::Text => write_string(out, text),
        Value::Binary(text) => write_string(out, text),
    }
    Some(())
}

/// The text of the key a scalar becomes; None: the scalar's own.
pub fn key_text(text: &str, plain: bool, tag: Tag) -> Option<String> {
    match resolve(text, plain, tag).ok()? {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(float_key(number)),
        Value::Binary(text) => Some(text),
        Value::Null | Value::UInt(_) | Value::Text => None,
    }
}

/// encoding/json: exponents below 1e-6 and from 1e21 on.
fn float_json(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        format!("{number}")
    }
}

/// sigs.k8s.io/yaml prints a key as a 32-bit float with Go's %g.
fn float_key(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "as Go does")]
    let number = number as f32;
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf".to_owned() } else { "-.inf".to_owned() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    // The precision of %g is 6 when it prints the shortest text.
    if number == 0.0 || (-4..6).contains(&power) {
        return format!("{number}");
    }
    let mut text = mantissa.to_owned();
    let _ = write!(text, "e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs());
    text
}

pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..0x20 => {
                out.extend_from_slice(&bytes[from..at]);
                write_display(out, format_args!("\\u{byte:04x}"));
                from = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(escape);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}
