//! TLS that the mesh originates (DestinationRule: trafficPolicy.tls), on rustls.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use roadstead::embed::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::connect::Connection;

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, what.to_string())
}

/// A TLS session over a connection; its name follows the authority where the rule says so.
pub async fn over(stream: Connection, tls: &Tls, authority: &str) -> Result<Connection> {
    if !matches!(&*tls.mode, "SIMPLE" | "MUTUAL") || !tls.credential_name.is_empty() {
        return Err(bad(format!("TLS of mode {} with secrets is not spoken here", tls.mode)));
    }
    let host = authority.parse::<hyper::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let host = host.unwrap_or_else(|| authority.to_owned());
    let host = host.trim_matches(['[', ']']);
    let given = if tls.sni.is_empty() { host } else { &tls.sni };
    let name = ServerName::try_from(given.to_owned()).map_err(bad)?;
    // Read for each connection: files of certificates are replaced while the process lives.
    let mut config = config(tls, host)?;
    config.enable_sni = !tls.sni.is_empty() || tls.auto_sni;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Box::new(connected))
}

fn config(tls: &Tls, host: &str) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let names = match &*tls.verify {
        "" => None,
        "auto" => Some(vec![name(host)?]),
        "san" => Some(tls.subject_alt_names.iter().map(|text| name(text)).collect::<Result<_>>()?),
        _ => Some(Vec::new()),
    };
    let checked = match names {
        None => None,
        Some(names) => Some(Checked { roots: roots(&tls.ca)?, names }),
    };
    let verifier = Verifier { provider: Arc::clone(&provider), checked };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut made = if tls.certificate.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_file(&*tls.private_key).map_err(bad)?;
        builder.with_client_auth_cert(certificates(&tls.certificate)?, key).map_err(bad)?
    };
    // HTTP/1.1 is what is spoken, whatever else the rule offers.
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(made)
}

fn name(text: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(text.to_owned()).map_err(|_| bad(format!("{text:?} is no name that certificates here have")))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| bad(format!("{path}: {error}")))
}

/// Of a file; without one the system's.
fn roots(path: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = if path.is_empty() { rustls_native_certs::load_native_certs().certs } else { certificates(path)? };
    roots.add_parsable_certificates(found);
    Ok(roots)
}

#[derive(Debug)]
struct Checked {
    roots: RootCertStore,
    /// One of them is the certificate's; none: any name will do.
    names: Vec<ServerName<'static>>,
}

/// Checks what the rule says is checked, which need not be the name of the session.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None: any certificate will do.
    checked: Option<Checked>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(Checked { roots, names }) = &self.checked else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        if names.is_empty() || names.iter().any(|name| verify_server_name(&parsed, name).is_ok()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
