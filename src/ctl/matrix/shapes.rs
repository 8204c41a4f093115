//! The shape of what is wrong on one link: pure, and about numbers of nodes alone.
//!
//! Two nodes are one pair, whoever of them says what. Of many bad pairs the fewest causes are named: a
//! link that is down everywhere, a node that is cut off, groups that are split, and only then pairs.

use super::cells::{Cell, Grid};

/// How two nodes do on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    /// Nothing is known, or there is no such link between them.
    Unknown,
    Up,
    Flaps,
    Down,
    /// What the first sends does not arrive at the second; the other way round it does.
    Lost(usize, usize),
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// No pair of three or more nodes works.
    Whole,
    /// Groups that work within, and not between them.
    Split(Vec<Vec<usize>>),
    /// No pair of this node works.
    Cut(usize),
    /// It hears all others, and no other hears it.
    Mute(usize),
    /// All others hear it, and it hears none.
    Deaf(usize),
    /// One node with some of the others.
    Star(usize, Vec<usize>),
    /// Two nodes.
    Pair(usize, usize),
    /// What the first sends is lost on the way to the second.
    Lost(usize, usize),
}

/// What both nodes of a pair say, as one.
pub(super) fn pair(grid: &Grid, a: usize, b: usize) -> Pair {
    let (here, there) = (grid.cells[a][b], grid.cells[b][a]);
    let either = |cell: Cell| here == cell || there == cell;
    if either(Cell::Flapping) {
        return Pair::Flaps;
    }
    match (here, there) {
        // Who hears the other is not heard by it.
        (Cell::OneWay, Cell::Down | Cell::Unknown) => Pair::Lost(a, b),
        (Cell::Down | Cell::Unknown, Cell::OneWay) => Pair::Lost(b, a),
        _ if either(Cell::Down) || either(Cell::OneWay) => Pair::Down,
        _ if either(Cell::Connected) => Pair::Up,
        _ => Pair::Unknown,
    }
}

/// What of the pairs is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What does not work now; what flaps works.
    Broken,
    /// What flaps; what does not work is left aside.
    Flapping,
}

/// How a pair counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Good,
    Bad,
    Aside,
}

fn sort(pair: Pair, look: Look) -> Sort {
    match (pair, look) {
        (Pair::Unknown, _) | (Pair::Down | Pair::Lost(..), Look::Flapping) => Sort::Aside,
        (Pair::Up, _) | (Pair::Flaps, Look::Broken) => Sort::Good,
        (Pair::Flaps, Look::Flapping) | (Pair::Down | Pair::Lost(..), Look::Broken) => Sort::Bad,
    }
}

/// The causes on one link, among these nodes.
pub(super) fn shapes(grid: &Grid, nodes: &[usize], look: Look) -> Vec<Shape> {
    let of = |a: usize, b: usize| sort(pair(grid, a, b), look);
    let mut bad = Vec::new();
    let mut good = 0;
    for (n, &a) in nodes.iter().enumerate() {
        for &b in &nodes[n + 1..] {
            match of(a, b) {
                Sort::Bad => bad.push((a, b)),
                Sort::Good => good += 1,
                Sort::Aside => {}
            }
        }
    }
    // Three nodes have three pairs; of fewer it is more to say whose they are.
    if good == 0 && bad.len() > 2 {
        return vec![Shape::Whole];
    }
    let others = |a: usize| nodes.iter().copied().filter(move |b| *b != a);
    let cut = |a: usize| {
        let count = |sort: Sort| others(a).filter(|b| of(a, *b) == sort).count();
        count(Sort::Good) == 0 && count(Sort::Bad) > 1
    };
    let cut: Vec<usize> = nodes.iter().copied().filter(|a| cut(*a)).collect();
    let mut found: Vec<Shape> = cut.iter().map(|a| way(grid, *a, &bad)).collect();
    bad.retain(|(a, b)| !cut.contains(a) && !cut.contains(b));
    let rest: Vec<usize> = nodes.iter().copied().filter(|a| !cut.contains(a)).collect();
    let groups = groups(&rest, |a, b| of(a, b) == Sort::Good);
    let group = |n: usize| groups.iter().position(|g| g.contains(&n));
    let between = |(a, b): &(usize, usize)| match (group(*a), group(*b)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    // Groups between which nothing is bad are none: nobody tells of those pairs, or they are aside.
    let (split, bad) = bad.into_iter().partition(between);
    let split: Vec<(usize, usize)> = split;
    if !split.is_empty() {
        found.push(Shape::Split(groups));
    }
    found.extend(singles(grid, bad));
    found
}

/// In which direction a node is cut off.
fn way(grid: &Grid, node: usize, bad: &[(usize, usize)]) -> Shape {
    let its = bad.iter().filter(|(a, b)| *a == node || *b == node);
    let its: Vec<Pair> = its.map(|(a, b)| pair(grid, *a, *b)).collect();
    let all = |wanted: fn(Pair, usize) -> bool| its.iter().all(|p| wanted(*p, node));
    if all(|p, n| matches!(p, Pair::Lost(from, _) if from == n)) {
        Shape::Mute(node)
    } else if all(|p, n| matches!(p, Pair::Lost(_, to) if to == n)) {
        Shape::Deaf(node)
    } else {
        Shape::Cut(node)
    }
}

/// Who reaches whom, over others too: groups of two and more.
fn groups(nodes: &[usize], good: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = nodes.to_vec();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let mut group = vec![left.remove(0)];
        let mut at = 0;
        while at < group.len() {
            let from = group[at];
            let (reached, rest) = left.into_iter().partition(|b| good(from, *b));
            group.extend::<Vec<usize>>(reached);
            left = rest;
            at += 1;
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups.retain(|g| g.len() > 1);
    groups
}

/// What is left: directions, then nodes with several, then pairs.
fn singles(grid: &Grid, bad: Vec<(usize, usize)>) -> Vec<Shape> {
    let mut found = Vec::new();
    let mut left = Vec::new();
    for (a, b) in bad {
        match pair(grid, a, b) {
            Pair::Lost(from, to) => found.push(Shape::Lost(from, to)),
            _ => left.push((a, b)),
        }
    }
    loop {
        let of = |n: usize, left: &[(usize, usize)]| -> Vec<usize> {
            let other = |(a, b): &(usize, usize)| {
                let second = (*a == n).then_some(*b);
                second.or((*b == n).then_some(*a))
            };
            left.iter().filter_map(other).collect()
        };
        let nodes = left.iter().flat_map(|(a, b)| [*a, *b]);
        let most = nodes.max_by_key(|n| (of(*n, &left).len(), std::cmp::Reverse(*n)));
        let Some((centre, spokes)) = most.map(|n| (n, of(n, &left))) else {
            return found;
        };
        match spokes[..] {
            [other] => found.push(Shape::Pair(centre.min(other), centre.max(other))),
            _ => found.push(Shape::Star(centre, spokes)),
        }
        left.retain(|(a, b)| *a != centre && *b != centre);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link between so many nodes, all pairs connected but these.
    fn link(nodes: usize, odd: &[(usize, usize, Cell)]) -> Grid {
        let mut cells = vec![vec![Cell::Connected; nodes]; nodes];
        for (n, row) in cells.iter_mut().enumerate() {
            row[n] = Cell::Itself;
        }
        for (a, b, cell) in odd {
            cells[*a][*b] = *cell;
            if cells[*b][*a] == Cell::Connected {
                cells[*b][*a] = match cell {
                    Cell::OneWay => Cell::Down,
                    other => *other,
                };
            }
        }
        Grid { link: 0, cells }
    }

    fn down(pairs: &[(usize, usize)]) -> Vec<(usize, usize, Cell)> {
        pairs.iter().map(|(a, b)| (*a, *b, Cell::Down)).collect()
    }

    #[test]
    fn the_fewest_causes_are_named() {
        use Shape::{Cut, Deaf, Lost, Mute, Pair, Split, Star, Whole};
        let one = Cell::OneWay;
        // 0 to 3 against 1 and 2 and so on.
        for (nodes, odd, want) in [
            (3, vec![], vec![]),
            (2, down(&[(0, 1)]), vec![Pair(0, 1)]),
            (3, down(&[(0, 1)]), vec![Pair(0, 1)]),
            (3, down(&[(0, 1), (0, 2), (1, 2)]), vec![Whole]),
            (3, down(&[(0, 2), (1, 2)]), vec![Cut(2)]),
            (
                4,
                down(&[(0, 2), (1, 2), (3, 2), (0, 3), (1, 3)]),
                vec![Cut(2), Cut(3)],
            ),
            (
                4,
                down(&[(0, 2), (0, 3), (1, 2), (1, 3)]),
                vec![Split(vec![vec![0, 1], vec![2, 3]])],
            ),
            (
                5,
                down(&[(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 4)]),
                vec![Split(vec![vec![0, 1], vec![2, 3, 4]]), Pair(2, 4)],
            ),
            (
                6,
                down(&[(0, 1), (0, 2), (0, 3), (4, 5)]),
                vec![Star(0, vec![1, 2, 3]), Pair(4, 5)],
            ),
            // 0 hears 1, and is not heard by it.
            (3, vec![(0, 1, one)], vec![Lost(0, 1)]),
            (3, vec![(2, 0, one), (2, 1, one)], vec![Mute(2)]),
            (3, vec![(0, 2, one), (1, 2, one)], vec![Deaf(2)]),
            (3, vec![(2, 0, one), (1, 2, Cell::Down)], vec![Cut(2)]),
            // Both hear and neither is connected: no direction.
            (3, vec![(0, 1, one), (1, 0, one)], vec![Pair(0, 1)]),
            // What flaps is not broken.
            (3, vec![(0, 1, Cell::Flapping)], vec![]),
            // One is down to the other, which has not noticed yet.
            (
                3,
                vec![(0, 1, Cell::Down), (1, 0, Cell::Connected)],
                vec![Pair(0, 1)],
            ),
        ] {
            let all: Vec<usize> = (0..nodes).collect();
            let found = shapes(&link(nodes, &odd), &all, Look::Broken);
            assert_eq!(found, want, "{nodes} nodes, {odd:?}");
        }
    }

    #[test]
    fn what_flaps_has_shapes_too() {
        let flap = Cell::Flapping;
        for (odd, want) in [
            (vec![(0, 1, flap)], vec![Shape::Pair(0, 1)]),
            (vec![(0, 2, flap), (1, 2, flap)], vec![Shape::Cut(2)]),
            (
                vec![(0, 2, flap), (1, 2, flap), (0, 1, flap)],
                vec![Shape::Whole],
            ),
            (vec![(0, 1, Cell::Down)], vec![]),
        ] {
            let found = shapes(&link(3, &odd), &[0, 1, 2], Look::Flapping);
            assert_eq!(found, want, "{odd:?}");
        }
        // Between two groups: what is broken does not flap as well.
        for (cell, want) in [
            (Cell::Down, vec![]),
            (flap, vec![Shape::Split(vec![vec![0, 1], vec![2, 3]])]),
        ] {
            let pairs = [(0, 2), (0, 3), (1, 2), (1, 3)];
            let odd = pairs.map(|(a, b)| (a, b, cell));
            let found = shapes(&link(4, &odd), &[0, 1, 2, 3], Look::Flapping);
            assert_eq!(found, want, "{cell:?}");
        }
    }

    #[test]
    fn a_node_that_says_nothing_is_judged_by_what_others_say() {
        let mut grid = link(3, &down(&[(0, 2)]));
        grid.cells[2] = vec![Cell::Unknown, Cell::Unknown, Cell::Itself];
        assert_eq!(pair(&grid, 0, 2), Pair::Down);
        assert_eq!(pair(&grid, 1, 2), Pair::Up);
        grid.cells[0][2] = Cell::OneWay;
        assert_eq!(pair(&grid, 2, 0), Pair::Lost(0, 2));
        // Of those that are left out nothing is concluded.
        assert_eq!(shapes(&grid, &[0, 1], Look::Broken), []);
        grid.cells[0][1] = Cell::None;
        grid.cells[1][0] = Cell::None;
        assert_eq!(pair(&grid, 0, 1), Pair::Unknown);
    }
}
