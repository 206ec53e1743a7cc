//! The committed header is what the sources say, and C lays the structs out as Rust does.
//!
//! `ROADSTEAD_WRITE_HEADER=1 cargo test -p roadstead-capi --test header` writes it anew.

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use roadstead::api::roadstead_api;
use roadstead::types::{
    roadstead_answer, roadstead_choice, roadstead_endpoint, roadstead_error, roadstead_header, roadstead_header_op,
    roadstead_options, roadstead_request, roadstead_retry, roadstead_service, roadstead_stat, roadstead_step,
    roadstead_str, roadstead_terms, roadstead_tls,
};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn header() -> PathBuf {
    Path::new(HERE).join("../../python/roadstead/include/roadstead.h")
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(Path::new(HERE).join("cbindgen.toml")).expect("the configuration is good");
    let sources =
        ["types", "api", "exports", "exports/exchange"].map(|name| Path::new(HERE).join(format!("src/{name}.rs")));
    let builder = sources.iter().fold(cbindgen::Builder::new(), |builder, source| builder.with_src(source));
    let mut text = Vec::new();
    builder.with_config(config).generate().expect("cbindgen reads the sources").write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

#[test]
fn the_header_is_that_of_the_sources() {
    let made = generated();
    if std::env::var_os("ROADSTEAD_WRITE_HEADER").is_some() {
        std::fs::write(header(), &made).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(header()).expect("the header is there");
    assert!(committed == made, "run ROADSTEAD_WRITE_HEADER=1 cargo test -p roadstead-capi --test header");
}

/// One line for each struct and field.
macro_rules! layout {
    ($text:expr, $($name:ident { $($field:ident),* })*) => {
        $(
            let size = size_of::<$name>();
            writeln!($text, "_Static_assert(sizeof({0}) == {size}, \"{0}\");", stringify!($name)).unwrap();
            $(
                let at = offset_of!($name, $field);
                writeln!($text, "_Static_assert(offsetof({0}, {1}) == {at}, \"{0}.{1}\");", stringify!($name), stringify!($field))
                    .unwrap();
            )*
        )*
    };
}

#[test]
fn c_lays_structs_out_as_rust_does() {
    let mut text = "#include <stddef.h>\n#include \"roadstead.h\"\n".to_owned();
    layout! { text,
        roadstead_str { data, len }
        roadstead_header { name, value }
        roadstead_header_op { op, name, value }
        roadstead_stat { name, value }
        roadstead_error { struct_size, status, line, column, message }
        roadstead_options { struct_size, flags, seed, clock, context }
        roadstead_request {
            struct_size, host, path, method, scheme, source_ip, sni, original_host, headers, header_count, draw, now, flags,
            port, original_port
        }
        roadstead_service { struct_size, host, namespace_, port_name, protocol }
        roadstead_answer {
            struct_size, kind, status, flags, cluster, service, route, destination, timeout, path, authority,
            location, body, request_ops, request_op_count, response_ops, response_op_count, mirrors, mirror_count,
            set_cookies, set_cookie_count, delay, abort_status, abort_grpc_status, draw, hash, has_hash, application_tls
        }
        roadstead_retry { struct_size, attempts, retry_on, status_codes, status_code_count, per_try_timeout, backoff }
        roadstead_tls {
            struct_size, mode, sni, verify, ca, certificate, private_key, credential_name, subject_alt_names,
            subject_alt_name_count, alpn, alpn_count, auto_sni
        }
        roadstead_endpoint { struct_size, address, hostname, locality, kind, health, priority, weight, port }
        roadstead_choice { struct_size, flags, hash, hash_key, exclude, exclude_count }
        roadstead_terms { struct_size, flags, hash, hash_key }
        roadstead_step {
            struct_size, what, attempts, deadline, limit, flags, status, details, headers, header_count, body, mirrors,
            mirror_count, has_deadline, has_limit, reset
        }
        roadstead_api { abi_version, struct_size, acquire, lease_free, exchange_begin, exchange_free }
    }
    let folder = tempfile();
    let source = folder.join("layout.c");
    std::fs::write(&source, text).expect("the folder is ours");
    let include = header().parent().expect("a folder").to_owned();
    let flags = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I"];
    let done = Command::new("cc").args(flags).arg(include).arg(&source).output().expect("a C compiler is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn tempfile() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layout");
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests is ours");
    folder
}
