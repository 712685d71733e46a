//! Sample secrets of this repository. Everybody can sign with them, so a function refuses them outside the
//! demo, tests and local invoke.

use ring::digest::{SHA256, digest};

/// SHA-256 of each published value. The values themselves are stored with the samples, in the command line's
/// crate, whose tests keep this list complete.
const PUBLISHED: &[&str] = &[
    "62622fc8a018348a8c692391578f9f03d976c75085d0fff7e39e2926d048f49e",
    "1c8332522b418949d069c001bb9fe133fbee22b921b2ca170908df2ba5e0bb91",
    "db1ad4d8fedc17c74167d00d14273cd6a284b4b90da3d1bb7b6c496042f6ac17",
    "a4c1ae063315b60ead82be3762b8ebb56556786e82587ca1d2bfc6ef8404781f",
    "93f5c9b08c42695ca5984fe6bb4d901f8ed08ffff1fbf2106eb4633e954ee2a2",
    "d83a673773823416c209f20d98d474806b95d09b7d12c71f3e99918ff3aed017",
    "80f802d65437498dc65711d3377019459cfdfcd9a57e00a78f72adda8cb556c1",
    "3c195e4993c22200dedaadeb0fd26c0e2e4b65488e844e76e58a8f08c5885a96",
    "9d3e8a40ece896728c37d78ef7fda06f5576de4462f0556121f563875f56b4ed",
    "b84729a58932fd2fdb8cc682ca609f26c1828af5426d04a8329e4f4223095f86",
    "e267dae12d4ea14f7241fd4d41da6504b45678ed366d35e182e13b2ab228ed38",
    "e5096ddea3046db0916d9baa632dde747602df3d6bfc7ac0338d681799de5f77",
    "41b44859235fc8af1d6ced105a976f94e4208bd53aff476b0f24ceaa36d62b5e",
    "35875d8c738bfebccf876735bc6836eea95ae8b8a7287039ca6fbc66d2a2a5cc",
    "1e053e8a18905fbe73af03b8ff0f434bc45eee687f0cbd1b1e800b2b63aa9351",
    "88c8db9c91756e9b9f4ebd446ab4fcd2440ef10e020951dd893dfe16299712d7",
    "5512cca27a21f7bfd4a4fbbf29058ae9ea725a218adab498538bc83fbd39bde3",
    "c484814e9ffe17dde86835710c412a56a37976fe9290b7a94ebeac212cdcdb99",
    "0bcdb0b740ae2809cd7e58017d3c8d96cf5e4a9ddcbec3f60c7fc2507def18eb",
    "4f5d7362792be5a6d444e965067f57defe87d376500015bf8eda45865dac93fc",
    "da3b390c487d4963acb67f8af601d8fc0cdb8924b1351f229f89d3eb5c1805f1",
    "a530375f788b0bf7bf3f5590f6f3917304846df51d0d5063e518f17ddf54070d",
    "94a4457ad19a7304d02f07d35128d26e8ea1abfbfc0d6a9eb3b36fbbee66e605",
    "1cd208748391b9c01759ed160c3e2117818c4e93da7b5f0c115f2c2cabb31002",
    "cc8096ed6f362fef8fcd46a3f23a314973f7c99632caec76832f31a6909b37b3",
    "ba4ec6f716f0d3648c2aa3d006f81562215aad3070a8b10b29b9b0f3d0f0cd20",
    "15a2f91cce9c033fa22f9503046fe7ca36ac0d5315b09c02cb68c87e5836f153",
    "539f39d03b42dad361252e1eb26520a9313b2d582179757dea64a51e103a007a",
    "c0aca0a4d31c8cdc3318aa5728f1e84d8586c8bf5a638dc615be4dd257ec4d07",
    "311d545342788df79a75e2cf9845ec58db336cf4ecd19cc7050c106cba323fbc",
    "f930780524be5f188de5653741ecedb72ddfbe444ca7fe681051ace46f8a7ef4",
    "d799490bffa72672942c276702be89dab92f800a3f972f95234af279ef23e026",
    "00a2b99ea255464d51db5c4588df7d2386f8b0bfaece02fa972854acc58cf720",
    "4506cddb4d86988022725eedfeb9d506218866584b966a77369399cc777caf4f",
    "600344ba297960f6504ce6e233bf9436f0e1b3ded386a8d6c9e1660168a4dba1",
    "42657abac9a7e9d7813911eb3ca7940392c5a934607987c28ee4a732aa63caa4",
    "c775bad5a5193b6c9a45de0e4748306e658dbe6221fd2ec970d33c9f4c4b8b72",
    "4f4a1ede9c234dcb379d8db866932d6590ec4580f8addc4adaac436411f51794",
    // The same values as their sources also read them: without a prefix, as base64, in the other case.
    "24666b897d8b33af786a9e245fd19697849f166e36256dcbf20de4a66645ee00",
    "913d47064e8f98c30d77cd9314fef33432faaa6794aea17e40524621dd353431",
    "68ebe17e45f3202c5c81c857c313be78de3efdab023bb9ef5a473e2e66537493",
    "04d3a47931d985c53daf084d9293ecbf1d922b5686a659ccd6d012c79d813b15",
    "ca3fc3917783593f2c44cfd6aa457a980edb803afbf327a70e5d630bb4557199",
    "36a03aede2c3edceafd6f9b5f8ead9658bda44c03b66fd87bd8f092207b2e443",
    "bf1e00bdf492875b39f0447bc449dadf40a795e95f286d58d096c66445a5cdac",
];

/// Returns true if a value is published in this repository.
pub fn is_published(value: &[u8]) -> bool {
    let hex = digest(&SHA256, value).as_ref().iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    PUBLISHED.contains(&hex.as_str())
}
