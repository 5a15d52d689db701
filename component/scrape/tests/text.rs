//! Text 0.0.4 and 1.0.0: what is read, and what is refused with which words.
#![allow(clippy::unwrap_used)]

mod reading;

use reading::{accepted, read, refused};
use steadyline_scrape::{Entry, Format, parse};

#[test]
fn samples() {
    accepted(
        Format::Text,
        &[
            ("", ""),
            ("\n", ""),
            ("\n\n  \t\n", ""),
            ("a 1\n", "a{} 1"),
            ("a 1", "a{} 1"),
            ("\na 1\n", "a{} 1"),
            ("a 1\n\n\nb 2\n", "a{} 1 | b{} 2"),
            ("  a 1\n", "a{} 1"),
            ("\ta\t1\t\n", "a{} 1"),
            ("a  1  1000  \n", "a{} 1 @1000"),
            ("a 1 1000", "a{} 1 @1000"),
            ("a 1 0\n", "a{} 1 @0"),
            ("a 1 -1000\n", "a{} 1 @-1000"),
            ("a 1 4102444800000\n", "a{} 1 @4102444800000"),
            ("a{} 1\n", "a{} 1"),
            ("a{}1\n", "a{} 1"),
            ("a { } 1\n", "a{} 1"),
            (":a:b_9 1\n", ":a:b_9{} 1"),
            ("_ 1\n", "_{} 1"),
            ("a NaN\n", "a{} NaN"),
            ("a +Inf\na -Inf\na inf\n", "a{} inf | a{} -inf | a{} inf"),
            ("a 1.5e-3\n", "a{} 0.0015"),
            ("a -0\n", "a{} -0"),
            ("a 1.7976931348623157e308\n", &format!("a{{}} {}", f64::MAX)),
            ("a_created 1.5\n", "a_created{} 1.5"),
        ],
    );
}

#[test]
fn labels_of_samples() {
    accepted(
        Format::Text,
        &[
            (r#"a{b="c"} 1"#, r#"a{b="c"} 1"#),
            (r#"a{b="c",} 1"#, r#"a{b="c"} 1"#),
            (r#"a{z="1",b="2",_="3",A="4"} 1"#, r#"a{A="4",_="3",b="2",z="1"} 1"#),
            (r#"a { b = "c" , d = "e" , } 1"#, r#"a{b="c",d="e"} 1"#),
            (r#"a{b="c" d="e"} 1"#, r#"a{b="c",d="e"} 1"#),
            (r#"a{b=""} 1"#, r#"a{b=""} 1"#),
            (r#"a{b="}"} 1"#, r#"a{b="}"} 1"#),
            (r#"a{b="{ # ,="} 1"#, r#"a{b="{ # ,="} 1"#),
            (r#"a{b="x\"y"} 1"#, r#"a{b="x\"y"} 1"#),
            (r#"a{b="x\\"} 1"#, r#"a{b="x\\"} 1"#),
            (r#"a{b="x\\\"}"} 1"#, r#"a{b="x\\\"}"} 1"#),
            (r#"a{b="x\ny"} 1"#, r#"a{b="x\ny"} 1"#),
            (r#"a{b="C:\dir"} 1"#, r#"a{b="C:\\dir"} 1"#),
            ("a{b=\"ü\u{1f600}\"} 1", "a{b=\"ü\u{1f600}\"} 1"),
            ("a{b=\"x\0y\"} 1", "a{b=\"x\\0y\"} 1"),
            ("a{b=\"x\ny\"} 1 5\nc 2\n", r#"a{b="x\ny"} 1 @5 | c{} 2"#),
            ("a{b=\"x} 9\ny\"} 1", r#"a{b="x} 9\ny"} 1"#),
            ("a{b=\"x\n\n\"} 1\n", r#"a{b="x\n\n"} 1"#),
            (r#"a{le="1",quantile="0.50"} 1"#, r#"a{le="1",quantile="0.50"} 1"#),
        ],
    );
}

#[test]
fn names_in_quotes() {
    accepted(
        Format::Text,
        &[
            (r#"{"a.b"} 1"#, r"a.b{} 1"),
            (r#"{"a.b",c="d"} 1"#, r#"a.b{c="d"} 1"#),
            (r#"{"a.b",} 1"#, r"a.b{} 1"),
            (r#"{c="d","a.b"} 1"#, r#"a.b{c="d"} 1"#),
            (r#"{ "a.b" , "c d" = "e" } 1"#, r#"a.b{c d="e"} 1"#),
            (r#"a{"b.c"="d"} 1"#, r#"a{b.c="d"} 1"#),
            (r#"{"a \"b\" \\ \n"} 1"#, "a \"b\" \\ \n{} 1"),
            (r#"{"a","b"="c"} 1"#, r#"a{b="c"} 1"#),
            ("# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n", "TYPE a.b Gauge | a.b{} 1"),
            ("# HELP \"a \\\"b\\\"\" text\n", r#"HELP a "b" "text""#),
        ],
    );
}

#[test]
fn descriptions_and_comments() {
    accepted(
        Format::Text,
        &[
            ("# TYPE a counter\n", "TYPE a Counter"),
            ("# TYPE a gauge", "TYPE a Gauge"),
            ("# TYPE a histogram\n", "TYPE a Histogram"),
            ("# TYPE a summary\n", "TYPE a Summary"),
            ("# TYPE a untyped\n", "TYPE a Unknown"),
            ("#\tTYPE\t a \tgauge \n", "TYPE a Gauge"),
            ("  # TYPE a gauge\n", "TYPE a Gauge"),
            ("# HELP a text with  blanks \n", r#"HELP a "text with  blanks ""#),
            ("# HELP a\n", r#"HELP a """#),
            ("# HELP a \n", r#"HELP a """#),
            ("# HELP a one\\ntwo \\\\ \\\"three\\\"\n", r#"HELP a "one\ntwo \\ \\\"three\\\"""#),
            ("# HELP a nul\0byte\n", r#"HELP a "nul\0byte""#),
            (
                "# HELP a 1\n# HELP a 2\n# TYPE a gauge\n# TYPE a gauge\na 1\n",
                r#"HELP a "1" | HELP a "2" | TYPE a Gauge | TYPE a Gauge | a{} 1"#,
            ),
            ("#\n# \n#HELP a b\n# HELPER a b\n# TYPED a b\n# UNIT a b\n# EOF\n# just words\n#TYPE\na 1\n", "a{} 1"),
            ("# HELP\n# TYPE\n", ""),
            ("# HELP a.b text\n", r#"HELP a ".b text""#),
            ("# EOF\na 1\n", "a{} 1"),
        ],
    );
}

#[test]
fn what_is_no_text() {
    refused(
        Format::Text,
        &[
            (b"1a 1\n", "line 1: expected a metric, a comment or a brace, found `1a 1`"),
            (b"a 1\n\n-b 1\n", "line 3: expected a metric, a comment or a brace, found `-b 1`"),
            (b"\0\n", "line 1: expected a metric, a comment or a brace, found `\0`"),
            ("ä 1\n".as_bytes(), "line 1: expected a metric, a comment or a brace, found `ä 1`"),
            (b"a\n", "line 1: expected a value after the series `a`"),
            (b"a{b=\"c\"}\n", "line 1: expected a value after the series `a{b=\"c\"}`"),
            (b"a \t \n", "line 1: expected a value after the series `a`"),
            (b"a one\n", "line 1: `one` is not a number"),
            (b"a 0x1p-3\n", "line 1: `0x1p-3` is not a number"),
            (b"a 1_2\n", "line 1: `1_2` is not a number"),
            (b"a 1e400\n", "line 1: `1e400` is not a number"),
            (b"a 1\r\n", "line 1: `1\r` is not a number"),
            (b"a 1 2 3\n", "line 1: `2 3` is not a timestamp"),
            (b"a 1 1.5\n", "line 1: `1.5` is not a timestamp"),
            (b"a 1 1e3\n", "line 1: `1e3` is not a timestamp"),
            (b"a 1 9223372036854775808\n", "line 1: `9223372036854775808` is not a timestamp"),
            (b"a 1 # {} 1\n", "line 1: `# {} 1` is not a timestamp"),
            (b"a.b 1\n", "line 1: expected a metric, a comment or a brace, found `a.b`"),
            ("aä 1\n".as_bytes(), "line 1: expected a metric, a comment or a brace, found `aä`"),
            (b"a{ 1\n", "line 1: the labels of `a{ 1` have no closing brace"),
            (b"a{b=\"c 1\n", "line 1: the labels of `a{b=\"c 1` have no closing brace"),
            (b"a{b=\"c\\\"} 1\nd 2\n", "line 1: the labels of `a{b=\"c\\\"} 1` have no closing brace"),
            (b"a{b} 1\n", "line 1: expected `=` after the label `b`"),
            (b"a{b=c} 1\n", "line 1: expected a value in quotes for the label `b`"),
            (b"a{b='c'} 1\n", "line 1: expected a value in quotes for the label `b`"),
            (b"a{b=} 1\n", "line 1: expected a value in quotes for the label `b`"),
            (b"a{=\"c\"} 1\n", "line 1: expected the name of a label, found `=\"c\"}`"),
            (b"a{\"\"=\"c\"} 1\n", "line 1: expected the name of a label, found `\"\"`"),
            (b"a{,} 1\n", "line 1: expected the name of a label, found `,}`"),
            (b"a{b=\"c\",,d=\"e\"} 1\n", "line 1: expected the name of a label, found `,d=\"e\"}`"),
            (b"a{b:c=\"d\"} 1\n", "line 1: expected the name of a label, found `b:c=\"d\"}`"),
            (b"a{1b=\"c\"} 1\n", "line 1: expected the name of a label, found `1b=\"c\"}`"),
            (b"a{b-c=\"d\"} 1\n", "line 1: expected `=` after the label `b`"),
            (b"a{b=\"1\",b=\"2\"} 1\n", "line 1: the label `b` is there twice"),
            (b"a{b=\"1\",b=\"1\"} 1\n", "line 1: the label `b` is there twice"),
            (b"a{b=\"\",c=\"\",b=\"\"} 1\n", "line 1: the label `b` is there twice"),
            (b"a{\"b\"=\"1\",b=\"2\"} 1\n", "line 1: the label `b` is there twice"),
            (b"a{__name__=\"b\"} 1\n", "line 1: the label `__name__` is there twice"),
            (b"{b=\"c\"} 1\n", "line 1: `{b=\"c\"}` has no metric name"),
            (b"{} 1\n", "line 1: `{}` has no metric name"),
            (b"{\"\"} 1\n", "line 1: `{\"\"}` has no metric name"),
            (b"{__name__=\"a\"} 1\n", "line 1: `{__name__=\"a\"}` has no metric name"),
            (b"{\"a\",\"b\"} 1\n", "line 1: `{\"a\",\"b\"}` has two metric names"),
            (b"a{\"b\"} 1\n", "line 1: `a{\"b\"}` has two metric names"),
            (b"a{b=\"\xff\"} 1\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"{\"\xff\"} 1\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"a{\"\xff\"=\"c\"} 1\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"# HELP a \xff\n", "line 1: `\u{fffd}` is not valid UTF-8"),
            (b"# TYPE a\n", "line 1: unknown metric type ``"),
            (b"# TYPE a info\n", "line 1: unknown metric type `info`"),
            (b"# TYPE a Counter\n", "line 1: unknown metric type `Counter`"),
            (b"# TYPE a counter\r\n", "line 1: unknown metric type `counter\r`"),
            (b"# TYPE #\n", "line 1: expected a metric name after TYPE, found `#`"),
            (b"# TYPE 1a gauge\n", "line 1: expected a metric name after TYPE, found `1a gauge`"),
            (b"# TYPE a.b gauge\n", "line 1: expected a metric name after TYPE, found `a.b gauge`"),
            (b"# HELP \n", "line 1: expected a metric name after HELP, found ``"),
        ],
    );
}

#[test]
fn a_series_is_named_by_the_text_that_stands_there() {
    let body = b"  a { b = \"c\" } 1\na_sum 2 3\n{\"x.y\"} 3\n";
    let mut parser = parse(body, Format::Text);
    let mut series = Vec::new();
    while let Some(entry) = parser.next_entry() {
        let Entry::Sample(sample) = entry.unwrap() else { panic!("only samples") };
        series.push(String::from_utf8(sample.series.to_vec()).unwrap());
    }
    assert_eq!(series, ["a { b = \"c\" }", "a_sum", "{\"x.y\"}"]);
}

#[test]
fn a_line_without_end_costs_no_more_than_its_length() {
    // Each line could be the beginning of a value that runs to the end of the body; only the first may look.
    let body = "a{b=\"c\n".repeat(50_000);
    let error = read(body.as_bytes(), Format::Text).unwrap_err();
    assert!(error.to_string().starts_with("line 1: the labels of `a{b="), "{error}");
}
