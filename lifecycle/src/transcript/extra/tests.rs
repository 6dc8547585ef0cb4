use super::*;

fn joined(pieces: &[&str]) -> String {
    let mut whole = Growing::default();
    for piece in pieces {
        whole.join(piece);
    }
    whole.text().expect("there was a piece")
}

#[test]
fn many_pieces_cost_no_more_than_what_they_say() {
    let mut whole = Growing::default();
    for _ in 0..200_000 {
        whole.join(r#"{"s":"more","l":["more"],"o":{"d":"more"}}"#);
    }
    let text = whole.text().expect("there were pieces");
    assert_eq!(text.matches("more").count(), 600_000);
}

fn nested(levels: usize, inside: &str) -> String {
    format!("{}{inside}{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

#[test]
fn objects_are_joined_as_deep_as_workers_read_them_and_what_is_deeper_is_replaced() {
    let pieces = |levels| [nested(levels, r#""p""#), nested(levels, r#""q""#)];
    let join = |[first, second]: &[String; 2]| joined(&[first, second]);
    assert_eq!(join(&pieces(DEEPEST + 1)), nested(DEEPEST + 1, r#""pq""#));
    // 400,000 levels ended the process.
    for levels in [DEEPEST + 2, 8_000, 400_000] {
        let pieces = pieces(levels);
        let whole = join(&pieces);
        assert!(whole == pieces[1], "{levels}");
        let rest = rest(Some(&whole), Some(&pieces[0])).expect("a beginning");
        assert!(rest.as_ref() == Some(&whole), "{levels}");
    }
}

#[test]
fn a_name_that_is_said_again_with_every_piece_is_said_once() {
    let pieces = [
        r#"{"x_id":"id1","function_call":{"name":"f","arguments":"{"},"o":{"id":"a","type":"t"}}"#,
        r#"{"x_id":"id1","function_call":{"name":"f","arguments":"}"},"o":{"id":"","type":null}}"#,
    ];
    let expected =
        r#"{"x_id":"id1","function_call":{"name":"f","arguments":"{}"},"o":{"id":"a","type":"t"}}"#;
    assert_eq!(joined(&pieces), expected);
    let rest = rest(Some(expected), Some(pieces[0])).expect("a beginning");
    assert_eq!(rest.as_deref(), Some(r#"{"function_call":{"arguments":"}"}}"#));
}

#[test]
fn many_names_cost_no_more_than_few() {
    let piece: Vec<String> = (0..100_000).map(|nth| format!("\"{nth}\":\"a\"")).collect();
    let piece = format!("{{{}}}", piece.join(","));
    let whole = joined(&[&piece, &piece]);
    assert_eq!(whole.matches("aa").count(), 100_000);
    assert_eq!(rest(Some(&whole), Some(&piece)), Ok(Some(piece)));
}

#[test]
fn what_is_no_object_or_says_a_name_twice_replaces_and_is_replaced() {
    for (pieces, expected) in [
        (&[r#"{"a":"x"}"#, "7", r#"{"b":1}"#][..], r#"{"b":1}"#),
        (&[r#"{"a":"x"}"#, r#"{"a":1}"#, r#"{"a":"y"}"#], r#"{"a":"y"}"#),
        (&[r#"{"a":{"b":1,"b":2}}"#, r#"{"a":{}}"#], r#"{"a":{}}"#),
        (&[r#"{"a":{}}"#, r#"{"a":[1]}"#, r#"{"a":[2]}"#], r#"{"a":[1,2]}"#),
        (
            &[r#"{"a":{"b":"x"},"k":"v"}"#, r#"{"a":{"b":"y"}}"#, r#"{"a":7}"#],
            r#"{"a":7,"k":"v"}"#,
        ),
        (
            &[r#"{"n":1,"t":"x"}"#, r#"{"n":12,"t":"y"}"#],
            r#"{"n":12,"t":"xy"}"#,
        ),
        (
            &[r#"{"l":[1],"t":"x"}"#, r#"{"l":[ ],"t":"y"}"#],
            r#"{"l":[1],"t":"xy"}"#,
        ),
        (&[r#"{"a":"é"}"#, r#"{"a":null}"#, r#"{"a":nul}"#], r#"{"a":nul}"#),
    ] {
        assert_eq!(joined(pieces), expected, "{pieces:?}");
    }
}

#[test]
fn texts_and_arrays_grow_objects_are_joined_and_the_rest_is_replaced() {
    let pieces = [
        r#"{"t":"a\ud83d","l":[ ],"n":1,"o":{"id":"x","type":"audio","d":"A"},"big":9007199254740993}"#,
        r#"{"t":"\ude00b","l":[1, 2],"n":2,"o":{"type":"audio","d":"B"}}"#,
        r#"{"l":[3],"n":null,"new":1e400}"#,
    ];
    let expected = r#"{"t":"a\ud83d\ude00b","l":[1, 2,3],"n":null,"o":{"id":"x","type":"audio","d":"AB"},"big":9007199254740993,"new":1e400}"#;
    assert_eq!(joined(&pieces), expected);
    for shown in 1..3 {
        let mut shown = Growing::Piece(joined(&pieces[..shown]));
        let rest = rest(Some(expected), shown.text().as_deref()).expect("a beginning");
        shown.join(&rest.expect("more"));
        assert_eq!(shown.text().as_deref(), Some(expected));
    }
}

#[test]
fn what_is_no_beginning_has_no_rest() {
    let cases = [
        (Some(r#"{"t":"abc"}"#), Some(r#"{"t":"ax"}"#)),
        (Some(r#"{"l":[12]}"#), Some(r#"{"l":[1]}"#)),
        (Some(r#"{"a":1}"#), Some(r#"{"b":1}"#)),
        (None, Some(r#"{"b":1}"#)),
    ];
    for (whole, shown) in cases {
        assert_eq!(rest(whole, shown), Err(Diverged), "{whole:?} {shown:?}");
    }
    assert_eq!(rest(Some("{}"), Some("{}")), Ok(None));
    assert_eq!(rest(None, None), Ok(None));
}

#[test]
fn a_name_that_is_another_one_later_is_the_later_one() {
    for name in ["index", "type", "id", "name", "call_id"] {
        let of = |value: &str| format!(r#"{{"{name}":"{value}"}}"#);
        let (first, later) = (of("ab"), of("abc"));
        assert_eq!(joined(&[&first, &later]), later);
        assert_eq!(rest(Some(&later), Some(&first)), Ok(Some(later.clone())));
        assert_eq!(rest(Some(&first), Some(&later)), Ok(Some(first.clone())));
    }
}

#[test]
fn an_object_in_the_place_of_something_else_is_the_rest_as_it_stands() {
    for (whole, shown, expected) in [
        (r#"{"a":{"b":1}}"#, r#"{"a":null}"#, r#"{"a":{"b":1}}"#),
        (r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#),
        (
            r#"{"l":[1, 2 ],"n":2}"#,
            r#"{"l":[1, 2],"n":1}"#,
            r#"{"l":[],"n":2}"#,
        ),
    ] {
        assert_eq!(rest(Some(whole), Some(shown)), Ok(Some(expected.to_owned())));
    }
}
