//! What operators do to numbers: exact where whole, and never rounded in silence.

use std::cmp::Ordering;

use super::{Arith, Val};
use crate::expr::{EvalError, Reason};

pub(super) fn arith_int<'a>(operator: Arith, a: i64, b: i64) -> Result<Val<'a>, EvalError> {
    let exact = match operator {
        Arith::Add => a.checked_add(b),
        Arith::Sub => a.checked_sub(b),
        Arith::Mul => a.checked_mul(b),
        Arith::Div | Arith::Rem if b == 0 => return Err(division_by_zero()),
        Arith::Div if a.checked_rem(b) != Some(0) => return Ok(Val::Float(a as f64 / b as f64)),
        Arith::Div => a.checked_div(b),
        Arith::Rem => a.checked_rem(b),
    };
    exact.map(Val::Int).ok_or_else(overflow)
}

pub(super) fn arith_float<'a>(operator: Arith, a: f64, b: f64) -> Result<Val<'a>, EvalError> {
    let result = match operator {
        Arith::Add => a + b,
        Arith::Sub => a - b,
        Arith::Mul => a * b,
        Arith::Div | Arith::Rem if b == 0.0 => return Err(division_by_zero()),
        Arith::Div => a / b,
        Arith::Rem => a % b,
    };
    if result.is_finite() { Ok(Val::Float(result)) } else { Err(overflow()) }
}

/// Compares numbers by value, without rounding the integer to the float's precision.
pub(super) fn compare_numbers(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Float(a), Val::Float(b)) => a.partial_cmp(b),
        (Val::Int(a), Val::Float(b)) => compare_int_float(*a, *b),
        (Val::Float(a), Val::Int(b)) => compare_int_float(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if float.is_nan() {
        None
    } else if float >= BOUND {
        Some(Ordering::Less)
    } else if float < -BOUND {
        Some(Ordering::Greater)
    } else {
        let whole = float.trunc();
        Some(int.cmp(&(whole as i64)).then_with(|| 0.0_f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)))
    }
}

pub(super) fn overflow() -> EvalError {
    EvalError::new(Reason::Overflow, "the result does not fit a number".to_owned())
}

fn division_by_zero() -> EvalError {
    EvalError::new(Reason::DivisionByZero, "division by zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::arith;
    use super::*;

    #[test]
    fn integers_and_floats_compare_by_value_at_every_size() {
        let cases = [
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Ordering::Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (i64::MIN, -1e300, Ordering::Greater),
            (2, 2.5, Ordering::Less),
            (-2, -2.5, Ordering::Greater),
            (3, 3.0, Ordering::Equal),
        ];
        for (int, float, expected) in cases {
            assert_eq!(compare_numbers(&Val::Int(int), &Val::Float(float)), Some(expected), "{int} against {float}");
            assert_eq!(
                compare_numbers(&Val::Float(float), &Val::Int(int)),
                Some(expected.reverse()),
                "{float} against {int}"
            );
        }
        assert_eq!(compare_numbers(&Val::Int(1), &Val::Float(f64::NAN)), None);
    }

    #[test]
    fn arithmetic_is_exact_or_says_why_not() {
        let cases: [(Arith, i64, i64, Result<Val<'_>, Reason>); 8] = [
            (Arith::Add, 2, 3, Ok(Val::Int(5))),
            (Arith::Add, i64::MAX, 1, Err(Reason::Overflow)),
            (Arith::Div, 6, 3, Ok(Val::Int(2))),
            (Arith::Div, 7, 2, Ok(Val::Float(3.5))),
            (Arith::Div, 1, 0, Err(Reason::DivisionByZero)),
            // 2^63, which a float holds exactly.
            (Arith::Div, i64::MIN, -1, Ok(Val::Float(9_223_372_036_854_775_808.0))),
            (Arith::Rem, -7, 3, Ok(Val::Int(-1))),
            (Arith::Rem, 7, 0, Err(Reason::DivisionByZero)),
        ];
        for (operator, a, b, expected) in cases {
            let actual = arith(operator, &Val::Int(a), &Val::Int(b)).map_err(|error| error.reason);
            assert_eq!(actual, expected, "{operator:?} {a} {b}");
        }
    }
}
