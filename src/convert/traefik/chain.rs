//! The middlewares of a router together, with those that chains consist of.

use std::collections::HashMap;

use super::middlewares::Middleware;
use crate::convert::draft::{Object, merge};
use crate::convert::guard::allow_only;
use crate::convert::text::MOST_DEPTH;

/// Limit of middlewares of one router: chains of chains can double with each level.
const MOST_APPLIED: usize = 1_000;

/// What the middlewares of a router are together.
#[derive(Debug, Default)]
pub struct Applied {
    /// The fields of the router's routes.
    pub fields: Object,
    /// Whether one redirects plain requests to https.
    pub to_https: bool,
    /// Whether two of them say who may ask.
    pub is_closed: bool,
    /// Whether one says who may ask, behind one that redirects.
    pub is_late: bool,
    /// Why one could not be applied.
    pub faults: Vec<String>,
    count: usize,
}

/// Applies these middlewares in order, where later ones take precedence.
pub fn applied(names: &[&str], all: &HashMap<String, Middleware>) -> Applied {
    let mut applied = Applied::default();
    applied.add(names, all, &mut Vec::new());
    applied
}

impl Applied {
    /// `within` are the chains around these names: one of them again would never end.
    fn add<'a>(
        &mut self,
        names: &[&'a str],
        all: &'a HashMap<String, Middleware>,
        within: &mut Vec<&'a str>,
    ) {
        for name in names {
            self.count += 1;
            let bare = name.split('@').next().unwrap_or_default();
            match all.get(bare) {
                _ if self.count > MOST_APPLIED => return self.fault("chains of too many".to_owned()),
                _ if within.contains(&bare) => self.fault(format!("{name} is in a chain of itself")),
                _ if within.len() >= MOST_DEPTH => self.fault("chains are too deep".to_owned()),
                None => self.fault(format!("not there: {name}")),
                Some(middleware) => {
                    self.merge(middleware);
                    let chain: Vec<&str> = middleware.chain.iter().map(String::as_str).collect();
                    within.push(bare);
                    self.add(&chain, all, within);
                    within.pop();
                }
            }
        }
    }

    fn merge(&mut self, middleware: &Middleware) {
        self.is_late |= middleware.fields.contains_key("allow")
            && (self.to_https || self.fields.contains_key("redirect"));
        self.to_https |= middleware.to_https;
        for (field, value) in &middleware.fields {
            match field.as_str() {
                "allow" => self.is_closed |= allow_only(&mut self.fields, value),
                _ => merge(&mut self.fields, field.clone(), value.clone()),
            }
        }
    }

    fn fault(&mut self, fault: String) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}
