//! The same over HTTP/2, whose answers have windows of their own.

use super::*;

#[tokio::test]
async fn fifty_idle_http2_connections_do_not_keep_healthz_from_answering() {
    let listening = listening(BOUNDS).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        let (mut client, moving) = soon("a handshake", listening.http2()).await;
        // It may be told to end meanwhile: then another one of the fifty has its place.
        let mut body = answer(&mut client, "/healthz").await;
        assert_eq!(read(&mut body, Duration::ZERO).await.expect("read"), 2);
        held.push((client, moving));
    }
    listening.is_healthy().await;
    drop(held);
}

#[tokio::test]
async fn fifty_idle_http2_connections_that_do_not_listen_any_more_do_not_keep_healthz_from_answering() {
    let listening = listening(BOUNDS).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        let (client, mut connection) = soon("a handshake", h2::client::handshake(listening.connect().await))
            .await
            .expect("a handshake");
        let mut asking = client.clone();
        tokio::select! {
            ended = &mut connection => panic!("it was answered before: {ended:?}"),
            mut body = answer(&mut asking, "/healthz") => assert!(body.data().await.is_some()),
        }
        held.push((client, connection));
    }
    listening.is_healthy().await;
    drop(held);
}

#[tokio::test]
async fn an_answer_behind_a_closed_window_is_given_up_and_the_others_of_its_connection_are_not() {
    let mut listening = listening(ConnectionBounds {
        unread: SOON,
        ..BOUNDS
    })
    .await;
    let (mut client, _moving) = listening.http2().await;
    // One at a time: the first one closes the connection's window as well as its own.
    let mut unread = answer(&mut client, "/endless").await;
    soon("the body is dropped", listening.dropped.recv()).await;
    let length = soon("it ends", read(&mut unread, Duration::ZERO)).await;
    assert!(length.is_err_and(|error| error.is_reset()), "the client is told");
    let mut whole = answer(&mut client, "/whole").await;
    sleep(QUIET).await;
    let length = soon("it ends", read(&mut whole, Duration::ZERO)).await;
    assert!(length.is_err_and(|error| error.is_reset()), "the client is told");
    let mut body = answer(&mut client, "/healthz").await;
    assert_eq!(read(&mut body, Duration::ZERO).await.expect("read"), 2);
}

#[tokio::test]
async fn an_answer_whose_window_was_never_open_is_given_up_whatever_it_says() {
    let listening = listening(ConnectionBounds {
        unread: SOON,
        ..BOUNDS
    })
    .await;
    let stream = listening.connect().await;
    let mut closed = h2::client::Builder::new();
    closed.initial_window_size(0);
    let (mut client, connection) = closed.handshake(stream).await.expect("a handshake");
    let moving = tokio::spawn(async move { drop(connection.await) });
    for path in ["/healthz", "/whole", "/endless", "/quiet"] {
        let mut body = answer(&mut client, path).await;
        let data = soon("it is given up", body.data()).await;
        let reset = data.is_some_and(|data| data.is_err_and(|error| error.is_reset()));
        assert!(reset, "{path}: the client is told");
    }
    moving.abort();
}
