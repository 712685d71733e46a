//! Fuzz target for keys and certificates in DER: if another parser accepts a certificate too, it finds the
//! same dates.
#![no_main]

use hookmq_shared::source::fuzzing::certificate;
use libfuzzer_sys::fuzz_target;
use x509_parser::prelude::{FromDer, X509Certificate};

fuzz_target!(|der: &[u8]| {
    let Some((from, until)) = certificate(der) else { return };
    if let Ok((_, certificate)) = X509Certificate::from_der(der) {
        let validity = certificate.validity();
        assert_eq!(from.unix(), validity.not_before.timestamp());
        assert_eq!(until.unix(), validity.not_after.timestamp());
    }
});
