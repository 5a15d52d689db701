//! OpenMetrics 0.0.1 and 1.0.0: what is read, and what is refused with which words.
#![allow(clippy::unwrap_used)]

mod reading;

use reading::{accepted, read, refused};
use steadyline_scrape::{Entry, Format, Labels, parse};

#[test]
fn samples() {
    accepted(
        Format::OpenMetrics,
        &[
            ("# EOF", ""),
            ("# EOF\n", ""),
            ("a 1\n# EOF\n", "a{} 1"),
            ("a{} 1\n# EOF\n", "a{} 1"),
            ("a{b=\"c\"} 1\n# EOF\n", r#"a{b="c"} 1"#),
            ("a{b=\"c\",} 1\n# EOF\n", r#"a{b="c"} 1"#),
            ("a{b=\"x\\\"\\\\\\n}\"} 1\n# EOF\n", r#"a{b="x\"\\\n}"} 1"#),
            ("a{b=\"nul\0\"} 1\n# EOF\n", "a{b=\"nul\\0\"} 1"),
            ("a 1 1.5\n# EOF\n", "a{} 1 @1500"),
            ("a 1 -1.5\n# EOF\n", "a{} 1 @-1500"),
            ("a 1 0\n# EOF\n", "a{} 1 @0"),
            ("a 1 1520879607.789\n# EOF\n", "a{} 1 @1520879607789"),
            ("a 1 1.520879607789e9\n# EOF\n", "a{} 1 @1520879607789"),
            ("a +Inf\na NaN\na -1.5e3\n# EOF\n", "a{} inf | a{} NaN | a{} -1500"),
            ("{\"a.b\",\"c d\"=\"e\"} 1\n# EOF\n", r#"a.b{c d="e"} 1"#),
            // A name without a type, and names that do not fit the type, are the business of nobody here.
            ("# TYPE a counter\na 1\n# EOF\n", "TYPE a Counter | a{} 1"),
            ("# TYPE a counter\nb_total 1\n# EOF\n", "TYPE a Counter | b_total{} 1"),
        ],
    );
}

#[test]
fn descriptions() {
    accepted(
        Format::OpenMetrics,
        &[
            ("# TYPE a counter\n# EOF\n", "TYPE a Counter"),
            ("# TYPE a gauge\n# EOF\n", "TYPE a Gauge"),
            ("# TYPE a histogram\n# EOF\n", "TYPE a Histogram"),
            ("# TYPE a gaugehistogram\n# EOF\n", "TYPE a GaugeHistogram"),
            ("# TYPE a summary\n# EOF\n", "TYPE a Summary"),
            ("# TYPE a info\n# EOF\n", "TYPE a Info"),
            ("# TYPE a stateset\n# EOF\n", "TYPE a StateSet"),
            ("# TYPE a unknown\n# EOF\n", "TYPE a Unknown"),
            ("# TYPE \"a.b\" gauge\n# EOF\n", "TYPE a.b Gauge"),
            ("# HELP a \\\"x\\\" \\\\ \\n\n# EOF\n", r#"HELP a "\"x\" \\ \n""#),
            ("# HELP a \n# EOF\n", r#"HELP a """#),
            ("# HELP a two  blanks\n# EOF\n", r#"HELP a "two  blanks""#),
            ("# UNIT a_seconds seconds\n# EOF\n", "UNIT a_seconds seconds"),
            ("# UNIT a_per_second per_second\n# EOF\n", "UNIT a_per_second per_second"),
            ("# UNIT a \n# EOF\n", "UNIT a "),
            ("# UNIT \"a.b_bytes\" bytes\n# EOF\n", "UNIT a.b_bytes bytes"),
        ],
    );
}

#[test]
fn exemplars() {
    accepted(
        Format::OpenMetrics,
        &[
            ("a_total 1 # {id=\"x\"} 0.5\n# EOF\n", r#"a_total{} 1 # {id="x"} 0.5"#),
            ("a_total 1 # {id=\"x\"} 0.5 1.5\n# EOF\n", r#"a_total{} 1 # {id="x"} 0.5 @1500"#),
            ("a_total 1 2 # {id=\"x\"} 0.5 1.5\n# EOF\n", r#"a_total{} 1 @2000 # {id="x"} 0.5 @1500"#),
            ("a_total 1 # {} 0.5\n# EOF\n", "a_total{} 1 # {} 0.5"),
            ("a_total 1 # {b=\"2\",a=\"1\"} NaN\n# EOF\n", r#"a_total{} 1 # {a="1",b="2"} NaN"#),
            ("a_total 1 # {id=\"# } \\\"\"} 1\n# EOF\n", r##"a_total{} 1 # {id="# } \""} 1"##),
            ("a_bucket{le=\"1\"} 1 # {\"a.b\"=\"x\"} 1\n# EOF\n", r#"a_bucket{le="1"} 1 # {a.b="x"} 1"#),
        ],
    );
}

#[test]
fn created_stamps() {
    accepted(
        Format::OpenMetrics,
        &[
            ("# TYPE a counter\na_total 1\na_created 1.5\n# EOF\n", "TYPE a Counter | a_total{} 1 | a_created{} ^1500"),
            ("# TYPE a counter\na_created{b=\"c\"} 1.5 99\n# EOF\n", r#"TYPE a Counter | a_created{b="c"} ^1500"#),
            ("# TYPE a histogram\na_created{b=\"c\"} 1\n# EOF\n", r#"TYPE a Histogram | a_created{b="c"} ^1000"#),
            ("# TYPE a summary\na_created 1520879607.789\n# EOF\n", "TYPE a Summary | a_created{} ^1520879607789"),
            (
                "# TYPE \"a.b\" counter\n{\"a.b_created\",c=\"d\"} 1\n# EOF\n",
                r#"TYPE a.b Counter | a.b_created{c="d"} ^1000"#,
            ),
            ("# TYPE a counter\n{\"a_created\"} 1\n# EOF\n", "TYPE a Counter | a_created{} ^1000"),
            // Of another family, of a type that has none, or of a longer name: plain samples.
            ("# TYPE a counter\nb_created 1\n# EOF\n", "TYPE a Counter | b_created{} 1"),
            ("# TYPE a counter\na_created_x 1\n# EOF\n", "TYPE a Counter | a_created_x{} 1"),
            ("# TYPE a counter\na_x_created 1\n# EOF\n", "TYPE a Counter | a_x_created{} 1"),
            ("# TYPE a gauge\na_created 1\n# EOF\n", "TYPE a Gauge | a_created{} 1"),
            ("# TYPE a counter\n# TYPE b gauge\na_created 1\n# EOF\n", "TYPE a Counter | TYPE b Gauge | a_created{} 1"),
            ("a_created 1\n# EOF\n", "a_created{} 1"),
        ],
    );
}

#[test]
fn what_does_not_end_as_it_should() {
    refused(
        Format::OpenMetrics,
        &[
            (b"", "line 1: the body does not end with `# EOF`"),
            (b"a 1\n", "line 2: the body does not end with `# EOF`"),
            (b"a 1", "line 1: the body does not end with `# EOF`"),
            (b"a 1\n# EO", "line 2: the body does not end with `# EOF`"),
            (b"a 1\n# EOF\n\n", "line 2: there is something after `# EOF`"),
            (b"# EOF\na 1\n", "line 1: there is something after `# EOF`"),
            (b"# EOF\n# EOF\n", "line 1: there is something after `# EOF`"),
            (b"# EOF \n", "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `# EOF `"),
            (b"#EOF\n", "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `#EOF`"),
            (b"# eof\n", "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `# eof`"),
            (b"#  EOF\n", "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `#  EOF`"),
            (b" # EOF\n", "line 1: expected a metric, a comment or a brace, found ` # EOF`"),
        ],
    );
}

#[test]
fn lines_that_are_none() {
    refused(
        Format::OpenMetrics,
        &[
            (b"\n# EOF\n", "line 1: OpenMetrics allows no blank line"),
            (b"a 1\n\n# EOF\n", "line 2: OpenMetrics allows no blank line"),
            (
                b"# a comment\n# EOF\n",
                "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `# a comment`",
            ),
            (
                b"#TYPE a gauge\n# EOF\n",
                "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `#TYPE a gauge`",
            ),
            (
                b"# TYPE\n# EOF\n",
                "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `# TYPE`",
            ),
            (
                b"#\tTYPE a gauge\n# EOF\n",
                "line 1: OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `#\tTYPE a gauge`",
            ),
            (b"# TYPE  a gauge\n# EOF\n", "line 1: expected a metric name after TYPE, found ` a gauge`"),
            (b"# TYPE a  gauge\n# EOF\n", "line 1: unknown metric type ` gauge`"),
            (b"# TYPE a gauge \n# EOF\n", "line 1: unknown metric type `gauge `"),
            (b"# TYPE a untyped\n# EOF\n", "line 1: unknown metric type `untyped`"),
            (b"# TYPE a \n# EOF\n", "line 1: unknown metric type ``"),
            (b"# TYPE a\n# EOF\n", "line 1: expected a text after TYPE and the metric name"),
            (b"# HELP a\n# EOF\n", "line 1: expected a text after HELP and the metric name"),
            (b"# HELP \n# EOF\n", "line 1: expected a metric name after HELP, found ``"),
            (b"# HELP a\ttext\n# EOF\n", "line 1: expected a metric name after HELP, found `a\ttext`"),
            (b"# HELP a \xff\n# EOF\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (
                b"# UNIT a_seconds second\n# EOF\n",
                "line 1: the unit `second` is not the end of the metric name `a_seconds`",
            ),
            (
                b"# UNIT aseconds seconds\n# EOF\n",
                "line 1: the unit `seconds` is not the end of the metric name `aseconds`",
            ),
            (
                b"# UNIT seconds seconds\n# EOF\n",
                "line 1: the unit `seconds` is not the end of the metric name `seconds`",
            ),
            (b" a 1\n# EOF\n", "line 1: expected a metric, a comment or a brace, found ` a 1`"),
            (b"1a 1\n# EOF\n", "line 1: expected a metric, a comment or a brace, found `1a 1`"),
        ],
    );
}

#[test]
fn samples_that_are_none() {
    refused(
        Format::OpenMetrics,
        &[
            (b"a\n# EOF\n", "line 1: expected a value after the series `a`"),
            (b"a \n# EOF\n", "line 1: `` is not a number"),
            (b"a  1\n# EOF\n", "line 1: `` is not a number"),
            (b"a\t1\n# EOF\n", "line 1: expected a value after the series `a`"),
            (b"a 1 \n# EOF\n", "line 1: `` is not a timestamp"),
            (b"a 1\t\n# EOF\n", "line 1: `1\t` is not a number"),
            (b"a 1\r\n# EOF\n", "line 1: `1\r` is not a number"),
            (b"a x\n# EOF\n", "line 1: `x` is not a number"),
            (b"a 0x10\n# EOF\n", "line 1: `0x10` is not a number"),
            (b"a 1_0\n# EOF\n", "line 1: `1_0` is not a number"),
            (b"a 1 NaN\n# EOF\n", "line 1: `NaN` is not a timestamp"),
            (b"a 1 Inf\n# EOF\n", "line 1: `Inf` is not a timestamp"),
            (b"a 1 1e300\n# EOF\n", "line 1: `1e300` is not a timestamp"),
            (b"a 1 2 3\n# EOF\n", "line 1: expected the end of the line, found ` 3`"),
            (b"a 1 # comment\n# EOF\n", "line 1: `#` is not a timestamp"),
            (b"a{b=\"c\"}1\n# EOF\n", "line 1: expected a value after the series `a{b=\"c\"}`"),
            (b"a {b=\"c\"} 1\n# EOF\n", "line 1: `{b=\"c\"}` is not a number"),
            (b"a{ b=\"c\"} 1\n# EOF\n", "line 1: expected the name of a label, found ` b=\"c\"}`"),
            (b"a{b =\"c\"} 1\n# EOF\n", "line 1: expected `=` after the label `b`"),
            (b"a{b= \"c\"} 1\n# EOF\n", "line 1: expected a value in quotes for the label `b`"),
            (b"a{b=\"c\" } 1\n# EOF\n", "line 1: expected a comma or a closing brace, found ` }`"),
            (b"a{b=\"c\", d=\"e\"} 1\n# EOF\n", "line 1: expected the name of a label, found ` d=\"e\"}`"),
            (b"a{b=\"c\"d=\"e\"} 1\n# EOF\n", "line 1: expected a comma or a closing brace, found `d=\"e\"}`"),
            (b"a{b=\"c\",,} 1\n# EOF\n", "line 1: expected the name of a label, found `,}`"),
            (b"a{b=\"x\ny\"} 1\n# EOF\n", "line 1: the labels of `a{b=\"x` have no closing brace"),
            (b"a{b=\"c\",b=\"d\"} 1\n# EOF\n", "line 1: the label `b` is there twice"),
            (b"a{b=\"\xff\"} 1\n# EOF\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"{b=\"c\"} 1\n# EOF\n", "line 1: `{b=\"c\"}` has no metric name"),
            (b"# TYPE a counter\na_created x\n# EOF\n", "line 2: `x` is not a number"),
            (b"# TYPE a counter\na_created NaN\n# EOF\n", "line 2: `NaN` is not a timestamp"),
            (b"# TYPE a counter\na_created 1 2 3\n# EOF\n", "line 2: expected the end of the line, found ` 3`"),
        ],
    );
}

#[test]
fn exemplars_that_are_none() {
    refused(
        Format::OpenMetrics,
        &[
            (b"a_total 1 # {\n# EOF\n", "line 1: the labels of `{` have no closing brace"),
            (b"a_total 1 # {}\n# EOF\n", "line 1: expected a value after the series `{}`"),
            (b"a_total 1 # {} x\n# EOF\n", "line 1: `x` is not a number"),
            (b"a_total 1 # {} 1 x\n# EOF\n", "line 1: `x` is not a timestamp"),
            (b"a_total 1 # {} 1 2 3\n# EOF\n", "line 1: expected the end of the line, found ` 3`"),
            (b"a_total 1 # {} 1 NaN\n# EOF\n", "line 1: `NaN` is not a timestamp"),
            (b"a_total 1 # {id} 1\n# EOF\n", "line 1: expected `=` after the label `id`"),
            (b"a_total 1 # {\"id\"} 1\n# EOF\n", "line 1: expected the name of a label, found `\"id\"}`"),
            (b"a_total 1 # {id=\"\xff\"} 1\n# EOF\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"a_total 1 2 # x\n# EOF\n", "line 1: expected the end of the line, found `x`"),
            (b"a_total 1  # {} 1\n# EOF\n", "line 1: `` is not a timestamp"),
        ],
    );
}

#[test]
fn an_exemplar_with_a_repeated_label_costs_only_itself() {
    let mut parser = parse(b"a_total 1 # {id=\"x\",id=\"y\"} 1\n# EOF\n", Format::OpenMetrics);
    let Some(Ok(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample") };
    let error = sample.exemplar.unwrap().labels(&mut Labels::new()).unwrap_err();
    assert_eq!(error.to_string(), "the label `id` is there twice");
    assert!(parser.next_entry().is_none());
}

#[test]
fn what_is_no_openmetrics_may_be_text() {
    let body = b"# a comment\n\na { b=\"c\" } 1 1000\n";
    assert!(read(body, Format::OpenMetrics).is_err());
    assert_eq!(read(body, Format::Text).unwrap(), [r#"a{b="c"} 1 @1000"#]);
}
