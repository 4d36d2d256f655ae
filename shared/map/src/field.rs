//! Circles on a plane that never overlap: a grid finds what is near.

/// A circle with its centre; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Disc {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) r: f64,
}

impl Disc {
    pub(crate) fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot_exact(self.y - other.y)
    }
}

/// Only operations that IEEE 754 defines to the last bit are used for positions, so that every machine gives the same.
pub(crate) trait Exact {
    fn hypot_exact(self, other: Self) -> Self;
}

impl Exact for f64 {
    fn hypot_exact(self, other: Self) -> Self {
        (self * self + other * other).sqrt()
    }
}

const CELLS: usize = 192;

/// Where circles were placed.
pub(crate) struct Field {
    /// Half the width of the square the grid covers; what lies outside counts to its outermost cells.
    reach: f64,
    placed: Vec<Disc>,
    cells: Vec<Vec<u32>>,
}

impl Field {
    /// For circles of about this much area altogether.
    pub(crate) fn for_area(area: f64) -> Self {
        Self { reach: (area * 1.2).sqrt().max(1.0), placed: Vec::new(), cells: vec![Vec::new(); CELLS * CELLS] }
    }

    #[expect(clippy::cast_possible_truncation, reason = "held to the grid's 192 cells")]
    #[expect(clippy::cast_sign_loss, reason = "held to the grid's 192 cells")]
    fn cell(&self, at: f64) -> usize {
        let scaled = (at + self.reach) / (2.0 * self.reach) * CELLS as f64;
        scaled.clamp(0.0, (CELLS - 1) as f64) as usize
    }

    /// The cells a circle touches, as (row's first cell, row's last cell).
    fn rows(&self, disc: Disc) -> impl Iterator<Item = std::ops::RangeInclusive<usize>> + use<> {
        let (left, right) = (self.cell(disc.x - disc.r), self.cell(disc.x + disc.r));
        let (top, bottom) = (self.cell(disc.y - disc.r), self.cell(disc.y + disc.r));
        (top..=bottom).map(move |row| row * CELLS + left..=row * CELLS + right)
    }

    /// Whether a circle keeps this distance from all others.
    pub(crate) fn is_free(&self, disc: Disc, gap: f64) -> bool {
        let around = Disc { r: disc.r + gap, ..disc };
        self.rows(around).all(|row| {
            self.cells[row].iter().flatten().all(|&index| {
                let other = self.placed[index as usize];
                let (dx, dy, apart) = (other.x - disc.x, other.y - disc.y, other.r + around.r);
                dx * dx + dy * dy >= apart * apart
            })
        })
    }

    pub(crate) fn place(&mut self, disc: Disc) {
        let index = u32::try_from(self.placed.len()).expect("a report has at most 10 000 holders");
        for row in self.rows(disc) {
            for cell in &mut self.cells[row] {
                cell.push(index);
            }
        }
        self.placed.push(disc);
    }

    /// Places a circle at the first free point of a spiral around a point.
    pub(crate) fn place_near(&mut self, wanted: Disc, gap: f64) -> Disc {
        let mut spiral = Spiral::new(wanted.r.max(1.0) * 0.3);
        loop {
            let (dx, dy) = spiral.point();
            let disc = Disc { x: wanted.x + dx, y: wanted.y + dy, ..wanted };
            if self.is_free(disc, gap) {
                self.place(disc);
                return disc;
            }
            spiral.advance();
        }
    }
}

/// Points that cover the plane evenly from its origin outwards, as the seeds of a sunflower do.
pub(crate) struct Spiral {
    step: f64,
    index: f64,
    /// A vector of length 1, turned by the golden angle from point to point.
    direction: (f64, f64),
}

/// Of the golden angle, π(3 − √5).
const COS: f64 = -0.737_368_878_078_320_3;
const SIN: f64 = 0.675_490_294_261_523_6;

impl Spiral {
    /// One point for each `step`² of area.
    pub(crate) fn new(step: f64) -> Self {
        Self { step, index: 0.0, direction: (1.0, 0.0) }
    }

    /// The points from this distance on.
    pub(crate) fn from_distance(step: f64, distance: f64) -> Self {
        let index = (std::f64::consts::PI * (distance / step) * (distance / step)).floor();
        Self { step, index, direction: (1.0, 0.0) }
    }

    pub(crate) fn point(&self) -> (f64, f64) {
        let distance = self.step * (self.index / std::f64::consts::PI).sqrt();
        (distance * self.direction.0, distance * self.direction.1)
    }

    pub(crate) fn advance(&mut self) {
        let (x, y) = self.direction;
        let (x, y) = (x * COS - y * SIN, x * SIN + y * COS);
        // Rounding would let the vector grow or shrink over many thousand turns.
        let correction = 1.5 - 0.5 * (x * x + y * y);
        self.direction = (x * correction, y * correction);
        self.index += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_placed_is_in_the_way_of_the_next() {
        let mut field = Field::for_area(10_000.0);
        field.place(Disc { x: 0.0, y: 0.0, r: 10.0 });
        assert!(!field.is_free(Disc { x: 14.0, y: 0.0, r: 5.0 }, 0.0));
        assert!(field.is_free(Disc { x: 15.0, y: 0.0, r: 5.0 }, 0.0));
        assert!(!field.is_free(Disc { x: 15.0, y: 0.0, r: 5.0 }, 1.0));
        let placed = field.place_near(Disc { x: 0.0, y: 0.0, r: 5.0 }, 1.0);
        assert!((16.0..20.0).contains(&placed.distance(Disc { x: 0.0, y: 0.0, r: 10.0 })), "{placed:?}");
    }

    #[test]
    fn far_outside_of_the_grid_nothing_overlaps_either() {
        let mut field = Field::for_area(1.0);
        field.place(Disc { x: 1e6, y: -1e6, r: 10.0 });
        assert!(!field.is_free(Disc { x: 1e6 + 5.0, y: -1e6, r: 1.0 }, 0.0));
        assert!(field.is_free(Disc { x: 1e6 + 50.0, y: -1e6, r: 1.0 }, 0.0));
    }

    #[test]
    fn the_spiral_keeps_its_density_over_many_points() {
        let mut spiral = Spiral::new(2.0);
        let mut inside = 0;
        for _ in 0..200_000 {
            let (x, y) = spiral.point();
            assert!((x * x + y * y).sqrt() < 600.0);
            inside += u32::from(x * x + y * y < 100.0 * 100.0);
            spiral.advance();
        }
        // The area of the circle, in squares of the step.
        assert!((f64::from(inside) - 7854.0).abs() < 20.0, "{inside}");
    }
}
