//! Where everything stands: clusters as groups held together by their links, the largest in the middle; everyone else
//! around them; hubs at the rim. No randomness: positions follow from the report alone.

use crate::field::{Disc, Exact, Field, Spiral};

/// The radius of a circle that has everything.
const WHOLE: f64 = 260.0;
/// So that the smallest can be seen and tapped.
const SMALLEST: f64 = 3.4;
/// Between circles.
const GAP: f64 = 2.0;
/// Between the circles of a cluster, which have links to show.
const INNER_GAP: f64 = 3.0;
/// Around a cluster.
const PADDING: f64 = 7.0;
/// Between the hubs and all others.
const RIM: f64 = 16.0;
/// So many hubs stand in the direction of whom they deal with; more find a place where there is one.
const AIMED_HUBS: usize = 200;

/// What is to be placed; indices are those of `shares`.
pub(crate) struct Plan {
    pub(crate) shares: Vec<f64>,
    pub(crate) clusters: Vec<Party>,
    /// By rank.
    pub(crate) hubs: Vec<usize>,
    /// For each of `hubs`, whom it deals with.
    pub(crate) dealings: Vec<Vec<usize>>,
}

/// A cluster.
pub(crate) struct Party {
    pub(crate) members: Vec<usize>,
    /// Positions in `members` of those who deal with each other.
    pub(crate) links: Vec<(usize, usize)>,
}

pub(crate) struct Layout {
    pub(crate) discs: Vec<Disc>,
    /// Around each cluster.
    pub(crate) groups: Vec<Disc>,
}

/// Area in proportion to the share.
pub(crate) fn radius(share: f64) -> f64 {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    (WHOLE * share.sqrt()).max(SMALLEST)
}

/// What is placed as one: a cluster, or a holder of its own.
struct Body {
    r: f64,
    /// By which it goes before others.
    weight: f64,
    cluster: Option<usize>,
    holder: usize,
}

pub(crate) fn lay_out(plan: &Plan) -> Layout {
    let radii: Vec<f64> = plan.shares.iter().map(|&share| radius(share)).collect();
    let mut discs: Vec<Disc> = radii.iter().map(|&r| Disc { x: 0.0, y: 0.0, r }).collect();
    let mut is_single = vec![true; radii.len()];
    let mut groups = Vec::with_capacity(plan.clusters.len());
    let mut bodies = Vec::new();
    for (number, Party { members, links }) in plan.clusters.iter().enumerate() {
        let inner: Vec<f64> = members.iter().map(|&member| radii[member]).collect();
        let (placed, around) = arrange(&inner, links);
        for (&member, disc) in members.iter().zip(placed) {
            discs[member] = disc;
            is_single[member] = false;
        }
        let r = around + PADDING;
        groups.push(Disc { x: 0.0, y: 0.0, r });
        // Clusters are what the map is about: they come before holders of their size.
        bodies.push(Body { r, weight: r * 1.5, cluster: Some(number), holder: usize::MAX });
    }
    for &hub in &plan.hubs {
        is_single[hub] = false;
    }
    let singles = (0..radii.len()).filter(|&holder| is_single[holder]);
    bodies.extend(singles.map(|holder| Body { r: radii[holder], weight: radii[holder], cluster: None, holder }));
    // A stable sort: equal ones keep the order of their ranks.
    bodies.sort_by(|a, b| b.weight.total_cmp(&a.weight));

    let area = |r: f64| 4.0 * (r + GAP) * (r + GAP);
    let hubs_area: f64 = plan.hubs.iter().map(|&hub| area(radii[hub])).sum();
    let mut field = Field::for_area(bodies.iter().map(|body| area(body.r)).sum::<f64>() + hubs_area);
    // One each: where a cluster had no room a holder of its own may have.
    let mut fillers = [Filler::default(), Filler::default()];
    let mut core: f64 = 0.0;
    for body in &bodies {
        let placed = fillers[usize::from(body.cluster.is_some())].place(&mut field, body.r, 0.0);
        core = core.max(placed.x.hypot_exact(placed.y) + placed.r);
        match body.cluster {
            Some(number) => {
                groups[number] = placed;
                for &member in &plan.clusters[number].members {
                    discs[member].x += placed.x;
                    discs[member].y += placed.y;
                }
            }
            None => discs[body.holder] = placed,
        }
    }
    place_hubs(plan, &mut discs, &mut field, core);
    Layout { discs, groups }
}

/// Fills the plane from the middle outwards. Bodies come roughly by size, the largest first: where one of about this
/// size did not fit, the next is not tried.
#[derive(Default)]
struct Filler {
    spiral: Option<(Spiral, f64)>,
}

impl Filler {
    fn place(&mut self, field: &mut Field, r: f64, inner: f64) -> Disc {
        let is_fitting = |size: f64| r > size * 0.8 && r <= size * 1.001;
        let (spiral, _) = match self.spiral.take() {
            Some((spiral, size)) if is_fitting(size) => self.spiral.insert((spiral, size)),
            _ => self.spiral.insert((Spiral::from_distance((r * 0.4).max(1.0), inner), r)),
        };
        loop {
            let (x, y) = spiral.point();
            spiral.advance();
            let disc = Disc { x, y, r };
            if x.hypot_exact(y) >= inner && field.is_free(disc, GAP) {
                let disc = settled(field, disc, inner);
                field.place(disc);
                return disc;
            }
        }
    }
}

/// As far towards the middle as there is room, by at most its radius.
fn settled(field: &Field, disc: Disc, inner: f64) -> Disc {
    let distance = disc.x.hypot_exact(disc.y);
    let (mut best, mut step) = (disc, disc.r / 2.0);
    let mut at = distance;
    while step > 0.2 {
        let nearer = (at - step).max(inner);
        let scale = if distance > 0.0 { nearer / distance } else { 0.0 };
        let moved = Disc { x: disc.x * scale, y: disc.y * scale, ..disc };
        if nearer < at && nearer >= 0.0 && field.is_free(moved, GAP) {
            (best, at) = (moved, nearer);
        }
        step /= 2.0;
    }
    best
}

/// Hubs stand around the core, in the direction of those they deal with, large ones opposite to each other.
fn place_hubs(plan: &Plan, discs: &mut [Disc], field: &mut Field, core: f64) {
    let mut pull = (0.0, 0.0);
    for (number, (&hub, dealings)) in plan.hubs.iter().zip(&plan.dealings).enumerate().take(AIMED_HUBS) {
        let r = discs[hub].r;
        let mut wanted = (-pull.0, -pull.1);
        if number > 0 && r < core * 0.25 && !dealings.is_empty() {
            // The largest few count as much as all others: where the map's weight is, is always the middle.
            let near = dealings.iter().take(8).map(|&other| discs[other]);
            wanted = near.fold((0.0, 0.0), |sum, disc| (sum.0 + disc.x, sum.1 + disc.y));
        }
        let length = wanted.0.hypot_exact(wanted.1);
        let direction = if length > 1.0 { (wanted.0 / length, wanted.1 / length) } else { (-1.0, 0.0) };
        let disc = on_the_rim(field, r, core, direction);
        field.place(disc);
        discs[hub] = disc;
        let weight = r * r / (disc.x.hypot_exact(disc.y)).max(1.0);
        pull = (pull.0 + disc.x * weight, pull.1 + disc.y * weight);
    }
    let mut filler = Filler::default();
    for &hub in plan.hubs.iter().skip(AIMED_HUBS) {
        let r = discs[hub].r;
        discs[hub] = filler.place(field, r, core + RIM + r);
    }
}

/// The free place on a ring around the core that is nearest to a direction; on a wider ring when there is none.
fn on_the_rim(field: &Field, r: f64, core: f64, direction: (f64, f64)) -> Disc {
    let step = (r * 0.5).max(2.0);
    let mut distance = core + RIM + r;
    loop {
        // Half of the angle's tangent gives sine and cosine by arithmetic alone.
        let half = step / (2.0 * distance);
        let (cos, sin) = ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
        let (mut left, mut right) = (direction, direction);
        let mut turned = 0.0;
        while turned <= std::f64::consts::PI * distance + step {
            for (x, y) in [left, right] {
                let disc = Disc { x: x * distance, y: y * distance, r };
                if field.is_free(disc, GAP) {
                    return disc;
                }
            }
            left = (left.0 * cos - left.1 * sin, left.0 * sin + left.1 * cos);
            right = (right.0 * cos + right.1 * sin, right.1 * cos - right.0 * sin);
            turned += step;
        }
        distance += step;
    }
}

/// The members of one cluster around the origin, and the radius of the circle around them.
fn arrange(radii: &[f64], links: &[(usize, usize)]) -> (Vec<Disc>, f64) {
    let mut points = beginning(radii, links);
    Forces::new(radii, links).relax(&mut points);
    // What forces nearly keep apart is kept apart here.
    let area: f64 = radii.iter().map(|r| 16.0 * (r + INNER_GAP) * (r + INNER_GAP)).sum();
    let mut field = Field::for_area(area);
    let wanted = points.iter().zip(radii).map(|(&(x, y), &r)| Disc { x, y, r });
    let mut placed: Vec<Disc> = wanted.map(|disc| field.place_near(disc, INNER_GAP)).collect();
    let around = enclosing(&placed);
    for disc in &mut placed {
        disc.x -= around.x;
        disc.y -= around.y;
    }
    (placed, around.r)
}

/// Whoever has most links in the middle, then its neighbours, then theirs.
fn beginning(radii: &[f64], links: &[(usize, usize)]) -> Vec<(f64, f64)> {
    let mut neighbours = vec![Vec::new(); radii.len()];
    for &(a, b) in links {
        neighbours[a].push(b);
        neighbours[b].push(a);
    }
    let mut by_degree: Vec<usize> = (0..radii.len()).collect();
    by_degree.sort_by_key(|&member| std::cmp::Reverse(neighbours[member].len()));
    let mut order = Vec::with_capacity(radii.len());
    let mut is_known = vec![false; radii.len()];
    for start in by_degree {
        if is_known[start] {
            continue;
        }
        is_known[start] = true;
        order.push(start);
        let mut next = order.len() - 1;
        while next < order.len() {
            for &neighbour in &neighbours[order[next]] {
                if !is_known[neighbour] {
                    is_known[neighbour] = true;
                    order.push(neighbour);
                }
            }
            next += 1;
        }
    }
    let mean = radii.iter().sum::<f64>() / radii.len().max(1) as f64;
    let mut spiral = Spiral::new((mean + INNER_GAP) * 2.6);
    let mut points = vec![(0.0, 0.0); radii.len()];
    for member in order {
        points[member] = spiral.point();
        spiral.advance();
    }
    points
}

/// Links pull, everyone keeps off (Fruchterman and Reingold), measured from rim to rim.
struct Forces<'a> {
    radii: &'a [f64],
    links: &'a [(usize, usize)],
    /// How long a link likes to be.
    length: f64,
    rounds: u32,
}

impl<'a> Forces<'a> {
    fn new(radii: &'a [f64], links: &'a [(usize, usize)]) -> Self {
        let mean = radii.iter().sum::<f64>() / radii.len().max(1) as f64;
        // The time stays the same from some hundred members on.
        let rounds = match radii.len() {
            0..=1 => 0,
            2..=60 => 240,
            61..=200 => 120,
            201..=1000 => 60,
            _ => 30,
        };
        Self { radii, links, length: 7.0 + mean * 0.8, rounds }
    }

    fn relax(&self, points: &mut [(f64, f64)]) {
        let mut moves = vec![(0.0, 0.0); points.len()];
        for round in 0..self.rounds {
            moves.fill((0.0, 0.0));
            self.repel(points, &mut moves);
            for &(a, b) in self.links {
                let (dx, dy, apart) = self.between(points, a, b);
                // Logarithmic beyond its length: one long link must not fold everything else together.
                let pull = apart * apart / (self.length + apart);
                add(&mut moves, a, (-dx * pull, -dy * pull));
                add(&mut moves, b, (dx * pull, dy * pull));
            }
            let left = 1.0 - f64::from(round) / f64::from(self.rounds);
            let most = self.length * 1.2 * left + 0.1;
            for ((point, push), r) in points.iter_mut().zip(&moves).zip(self.radii) {
                let push = (push.0 - point.0 * 0.06, push.1 - point.1 * 0.06);
                let size = push.0.hypot_exact(push.1).max(1e-9);
                // What is large moves little.
                let scale = (size.min(most) / size) * (8.0 / (8.0 + r * 0.2));
                *point = (point.0 + push.0 * scale * 0.5, point.1 + push.1 * scale * 0.5);
            }
        }
    }

    fn repel(&self, points: &[(f64, f64)], moves: &mut [(f64, f64)]) {
        // Only who is near: sorted by x, a window that moves along.
        let reach = self.length * 5.0;
        let largest = self.radii.iter().copied().fold(0.0, f64::max);
        let mut by_x: Vec<usize> = (0..points.len()).collect();
        by_x.sort_by(|&a, &b| points[a].0.total_cmp(&points[b].0));
        for (index, &a) in by_x.iter().enumerate() {
            let limit = points[a].0 + reach + self.radii[a] + largest;
            for &b in by_x[index + 1..].iter().take_while(|&&b| points[b].0 <= limit) {
                if (points[a].1 - points[b].1).abs() > reach + self.radii[a] + self.radii[b] {
                    continue;
                }
                let (dx, dy, apart) = self.between(points, a, b);
                if apart < reach {
                    let push = self.length * self.length / apart.max(1.0) * 0.8;
                    add(moves, a, (dx * push, dy * push));
                    add(moves, b, (-dx * push, -dy * push));
                }
            }
        }
    }

    /// From `b` to `a` as a direction, and from rim to rim.
    fn between(&self, points: &[(f64, f64)], a: usize, b: usize) -> (f64, f64, f64) {
        let (dx, dy) = (points[a].0 - points[b].0, points[a].1 - points[b].1);
        let distance = dx.hypot_exact(dy);
        let apart = (distance - self.radii[a] - self.radii[b]).max(0.0);
        if distance > 1e-9 { (dx / distance, dy / distance, apart) } else { (1.0, 0.0, apart) }
    }
}

fn add(moves: &mut [(f64, f64)], at: usize, by: (f64, f64)) {
    moves[at] = (moves[at].0 + by.0, moves[at].1 + by.1);
}

/// A circle around all, close to the smallest.
fn enclosing(discs: &[Disc]) -> Disc {
    let count = discs.len().max(1) as f64;
    let mut centre = Disc {
        x: discs.iter().map(|disc| disc.x).sum::<f64>() / count,
        y: discs.iter().map(|disc| disc.y).sum::<f64>() / count,
        r: 0.0,
    };
    let reach = |centre: Disc, disc: &Disc| centre.distance(*disc) + disc.r;
    for round in 1..=60 {
        let far = discs.iter().max_by(|a, b| reach(centre, a).total_cmp(&reach(centre, b)));
        if let Some(far) = far {
            let step = 1.0 / f64::from(round + 1);
            centre.x += (far.x - centre.x) * step;
            centre.y += (far.y - centre.y) * step;
        }
    }
    centre.r = discs.iter().map(|disc| reach(centre, disc)).fold(0.0, f64::max);
    centre
}
