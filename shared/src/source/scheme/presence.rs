//! Presence of values in places of a request: there, absent, or there in a way that cannot be read.

use crate::json;
use crate::source::Rejection;
use crate::source::scheme::decrypt;
use crate::source::scheme::field::{Field, View, is_empty};
use crate::source::scheme::form::FormBody;
use crate::xml;

impl Field {
    /// Returns true if the request has a value in this place, or several. A form that the content type does not
    /// name is none.
    pub(crate) fn is_present(&self, view: &View<'_>) -> bool {
        !matches!(self.find(view), Ok(None) | Err(Rejection::Malformed(_) | Rejection::OtherForm(_)))
    }

    /// Returns true if the request has nothing in this place, not even an object or an array.
    pub(crate) fn is_absent(&self, view: &View<'_>) -> bool {
        !self.is_present(view) && !self.is_opaque(view)
    }

    /// Returns true if the place holds what is neither a value nor nothing: an object, an array, or text of another
    /// charset in a body.
    fn is_opaque(&self, view: &View<'_>) -> bool {
        let is_nested =
            |text: &[u8], path: &str| json::find(text, path).ok().flatten().is_some_and(|raw| !is_empty(raw));
        match (self, self.find(view)) {
            (_, Ok(Some(value))) => self.in_body() && std::str::from_utf8(&value).is_err(),
            (Self::Either(fields), _) => fields.iter().any(|field| field.is_opaque(view)),
            (Self::Equal(field, _) | Self::Listed(field), Ok(None)) => field.is_opaque(view),
            (Self::Json(path), Ok(None)) => is_nested(&view.request.body, path),
            (Self::Item(path), Ok(None)) => is_nested(view.item, path),
            (Self::Decrypted(path), Ok(None)) => match view.plaintext.unwrap_or_default() {
                event if decrypt::is_xml(event) => xml::is_nested(event, path),
                event => is_nested(event, path),
            },
            (Self::Xml(path), Ok(None)) => xml::is_nested(&view.request.body, path),
            (Self::Inside(outer, path), Ok(None)) => {
                outer.find(view).is_ok_and(|text| text.is_some_and(|text| is_nested(&text, path)))
            }
            _ => false,
        }
    }

    /// Returns true if none of the fields has a value that can be read, and one of them may have a value that cannot:
    /// the body is of none of the formats that they are in.
    pub(crate) fn are_unreadable(fields: &[Self], view: &View<'_>) -> bool {
        let (mut is_broken, mut is_readable) = (false, false);
        for field in fields.iter().flat_map(Self::alternatives) {
            match field.find(view) {
                _ if field.is_opaque(view) => return true,
                Ok(Some(_)) => return false,
                Ok(None) if field.shows_format(view) => is_readable = true,
                // Another format than that of the place may hold it.
                Ok(None) => is_broken |= field.is_of_body() && !view.request.body.is_empty(),
                Err(_) => is_broken |= !view.request.body.is_empty(),
            }
        }
        is_broken && !is_readable
    }

    /// Returns true if the field is read of the body, as it is or in parts.
    fn is_of_body(&self) -> bool {
        self.any(&|field| matches!(field, Self::Json(_) | Self::Xml(_) | Self::Form(_) | Self::Item(_)))
    }

    /// Returns true if the place is in the first of several items, of which the others have values of their own.
    pub(crate) fn is_first_of_several(&self, view: &View<'_>) -> bool {
        self.any(&|field| {
            let Self::Json(path) = field else { return false };
            let mut end = 0;
            path.split('.').any(|step| {
                let start = end;
                end += step.len() + 1;
                let next = || format!("{}1", path.get(..start).unwrap_or_default());
                step == "0" && json::find(&view.request.body, &next()).is_ok_and(|found| found.is_some())
            })
        })
    }

    /// Returns the places of which the first that is present counts.
    fn alternatives(&self) -> Vec<&Self> {
        if let Self::Either(fields) = self {
            fields.iter().flat_map(Self::alternatives).collect()
        } else {
            vec![self]
        }
    }

    /// Returns true if an absent value shows that the body is of the format that the place is in.
    fn shows_format(&self, view: &View<'_>) -> bool {
        match self {
            Self::Json(path) => {
                let first = view.request.body.trim_ascii_start().first();
                first == Some(&b'{') || first == Some(&b'[') && path.starts_with(|c: char| c.is_ascii_digit())
            }
            Self::Item(_) | Self::Xml(_) | Self::Decrypted(_) => true,
            // Any text is pairs, so only the type tells.
            Self::Form(_) => FormBody::of(&view.request.body).is_declared(&view.request.headers),
            Self::Inside(outer, _) => {
                outer.find(view).is_ok_and(|text| text.is_some()) || outer.shows_format(view)
            }
            Self::Equal(field, _) | Self::Listed(field) => field.shows_format(view),
            _ => false,
        }
    }
}
