//! What a matrix of links comes from, in sentences that say which node, pair or network to look at.
//! Pure: the same matrix gives the same faults.

use super::cells::{Cell, Matrix, Voice};
use super::shapes::{Look, Pair, Shape, pair, shapes};
use super::words;
use crate::wire::Unreachable;
use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// A word for programs; it never changes its meaning.
    pub code: &'static str,
    /// On which links; empty where it is no matter of links.
    pub links: Vec<u8>,
    /// Whom it is about.
    pub nodes: Vec<String>,
    /// Of a split: who is together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<String>>,
    /// What is wrong, in one sentence.
    pub text: String,
    /// What to look at.
    pub look: String,
}

/// Everything that is wrong, causes that reach far before single pairs.
pub(super) fn faults(matrix: &Matrix) -> Vec<Fault> {
    let tells = |n: &usize| matrix.nodes[*n].voice == Voice::Tells;
    let all = 0..matrix.nodes.len();
    let tellers: Vec<usize> = all.clone().filter(tells).collect();
    let seen = |n: usize| -> Vec<usize> {
        let by = |a: &usize| {
            let sees = |cell| matches!(cell, Cell::Connected | Cell::Flapping | Cell::OneWay);
            *a != n && matrix.grids.iter().any(|g| sees(g.cells[*a][n]))
        };
        tellers.iter().copied().filter(by).collect()
    };
    let mut found = Vec::new();
    // Those that are out of the ring as a whole explain their links; the others are looked at by link.
    let mut inside = Vec::new();
    let mut gone: Vec<(Option<Unreachable>, Vec<usize>)> = Vec::new();
    let mut later = Vec::new();
    for n in all {
        match &matrix.nodes[n].voice {
            Voice::Tells => inside.push(n),
            Voice::Idle(why) => found.push(words::idle(matrix, n, why)),
            Voice::Silent(reason, why) => {
                let by = seen(n);
                if !by.is_empty() {
                    inside.push(n);
                    later.push(match cut_from_here(matrix, n, *reason) {
                        Some(here) => words::cut_from_here(matrix, n, here, &by),
                        None => words::clusmgr_silent(matrix, n, *reason, why, &by),
                    });
                } else {
                    match gone.iter_mut().find(|(r, _)| r == reason) {
                        // What is said of those is the same.
                        Some((_, nodes)) if *reason == Some(Unreachable::TimedOut) => nodes.push(n),
                        _ => gone.push((*reason, vec![n])),
                    }
                }
            }
        }
    }
    for (reason, nodes) in &gone {
        found.push(words::gone(matrix, *reason, nodes, &tellers));
    }
    found.extend(by_link(matrix, &inside, Look::Broken));
    found.extend(later);
    found.extend(by_link(matrix, &inside, Look::Flapping));
    found
}

/// This node, if the links explain why it had no answer from another one: none of its own to it works.
fn cut_from_here(matrix: &Matrix, node: usize, reason: Option<Unreachable>) -> Option<usize> {
    let here = matrix.nodes.iter().position(|n| n.local)?;
    let works = |cell| matches!(cell, Cell::Connected | Cell::Flapping);
    let none = !matrix.grids.iter().any(|g| works(g.cells[here][node]));
    let told = matrix.nodes[here].voice == Voice::Tells;
    (told && none && reason == Some(Unreachable::TimedOut)).then_some(here)
}

/// What is wrong on links; the same on several links is one fault.
fn by_link(matrix: &Matrix, nodes: &[usize], look: Look) -> Vec<Fault> {
    let mut all: Vec<(Shape, Vec<u8>)> = Vec::new();
    for grid in &matrix.grids {
        for shape in shapes(grid, nodes, look) {
            match all.iter_mut().find(|(s, _)| *s == shape) {
                Some((_, links)) => links.push(grid.link),
                None => all.push((shape, vec![grid.link])),
            }
        }
    }
    all.sort_by_key(|(shape, _)| match shape {
        Shape::Whole => 0,
        Shape::Split(_) => 1,
        Shape::Cut(_) | Shape::Mute(_) | Shape::Deaf(_) => 2,
        Shape::Star(..) => 3,
        Shape::Pair(..) | Shape::Lost(..) => 4,
    });
    all.iter()
        .map(|(shape, links)| {
            let every = every_link(matrix, nodes, shape) == *links && links.len() > 1;
            words::on_links(matrix, shape, links, every, look)
        })
        .collect()
}

/// The links on which a fault of this shape could be.
fn every_link(matrix: &Matrix, nodes: &[usize], shape: &Shape) -> Vec<u8> {
    let (some, others): (Vec<usize>, Vec<usize>) = match shape {
        Shape::Whole | Shape::Split(_) => (nodes.to_vec(), nodes.to_vec()),
        Shape::Cut(n) | Shape::Mute(n) | Shape::Deaf(n) => (vec![*n], nodes.to_vec()),
        Shape::Star(n, others) => (vec![*n], others.clone()),
        Shape::Pair(a, b) | Shape::Lost(a, b) => (vec![*a], vec![*b]),
    };
    let there = |grid: &&super::cells::Grid| {
        some.iter().any(|a| {
            let mut its = others.iter().filter(|b| *b != a);
            its.any(|b| pair(grid, *a, *b) != Pair::Unknown)
        })
    };
    let grids = matrix.grids.iter().filter(there);
    grids.map(|g| g.link).collect()
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
