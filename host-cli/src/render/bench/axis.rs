//! A logarithmic axis: where a value lies on it, and which values are written beside it.

/// From one value to another one, both above zero, on a line of so many units of the drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
    base: f64,
}

impl Axis {
    /// Room for all values, with a little more at both ends.
    pub(super) fn over(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Option<Self> {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        // Less than half a decade would make mountains of noise.
        let middle = (least * most).sqrt();
        let (from, to) = (least.min(middle / 1.8) / 1.15, most.max(middle * 1.8) * 1.15);
        least.is_finite().then_some(Self { from, to, begin, end, base: 10.0 })
    }

    /// The same with ticks at powers of two, for bytes.
    pub(super) fn of_bytes(self) -> Self {
        Self { base: 2.0, ..self }
    }

    /// Where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.from, self.to);
        let share = (value / self.from).ln() / (self.to / self.from).ln();
        self.begin + share * (self.end - self.begin)
    }

    /// Powers of the base, and what is between them where there are few.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let powers = (self.to / self.from).log(self.base);
        let steps: &[f64] =
            if powers > 2.2 || self.base < 10.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let first = self.from.log(self.base).floor() as i32;
        let last = self.to.log(self.base).ceil() as i32;
        // Every second or third one is enough where there are many.
        let stride = (powers / 5.0).ceil().max(1.0) as usize;
        (first..=last)
            .step_by(stride)
            .flat_map(|power| steps.iter().map(move |step| step * self.base.powi(power)))
            .filter(|tick| (self.from..=self.to).contains(tick))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_in_the_order_of_their_logarithms() {
        let axis = Axis::over([1e-6, 1e-2].into_iter(), 0.0, 100.0).unwrap();
        let places: Vec<f64> = [1e-6, 1e-5, 1e-4, 1e-3].iter().map(|v| axis.place(*v)).collect();
        let steps: Vec<f64> = places.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(steps.iter().all(|step| (step - steps[0]).abs() < 1e-9), "{places:?}");
        assert!(axis.place(0.0) >= 0.0 && axis.place(1e9) <= 100.0);
    }

    #[test]
    fn an_axis_has_a_few_ticks_whatever_its_length() {
        for (least, most) in [(1e-6, 1.1e-6), (1e-6, 1e-4), (1e-9, 1.0), (64.0, 2e7)] {
            let ticks = Axis::over([least, most].into_iter(), 0.0, 1.0).unwrap().ticks();
            assert!((1..=8).contains(&ticks.len()), "{least} {most}: {ticks:?}");
        }
    }

    #[test]
    fn without_a_value_there_is_no_axis() {
        assert!(Axis::over([0.0].into_iter(), 0.0, 1.0).is_none());
    }
}
