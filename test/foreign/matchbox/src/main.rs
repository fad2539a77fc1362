//! A peer of `matchbox_socket` for the script `npm run test:matchbox`. It connects to the URL that is its first argument,
//! greets every peer over a data channel, and prints what happens as lines of JSON. It ends when its standard input ends.

use futures::FutureExt;
use matchbox_socket::{ChannelConfig, PeerState, RtcIceServerConfig, WebRtcSocket, WebRtcSocketBuilder};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How often the socket is asked for news. It has no events.
const LOOK: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: matchbox-peer URL");
    // Peers of one machine need no STUN server.
    let ice = RtcIceServerConfig { urls: vec![], username: None, credential: None };
    let (mut socket, run) = WebRtcSocketBuilder::new(url)
        .ice_server(ice)
        .reconnect_attempts(Some(1))
        .signaling_keep_alive_interval(Some(Duration::from_secs(1)))
        .add_channel(ChannelConfig::reliable())
        .build();
    let mut run = run.fuse();
    let mut input = tokio::io::stdin();
    let mut byte = [0u8; 1];
    let mut told = false;
    loop {
        tokio::select! {
            end = &mut run => {
                let how = match end { Ok(()) => "closed".to_string(), Err(error) => format!("{error:?}") };
                println!(r#"{{"type":"ended","how":{how:?}}}"#);
                return;
            }
            read = input.read(&mut byte) => if read.unwrap_or(0) == 0 { break },
            () = tokio::time::sleep(LOOK) => news(&mut socket, &mut told),
        }
    }
    // The message loop ends when the socket is dropped. It then closes the signaling socket.
    drop(socket);
    let _ = tokio::time::timeout(Duration::from_secs(2), run).await;
}

/// Prints what has happened since the last call.
fn news(socket: &mut WebRtcSocket, told: &mut bool) {
    if let (false, Some(id)) = (*told, socket.id()) {
        *told = true;
        println!(r#"{{"type":"id","id":"{id}"}}"#);
    }
    let Ok(changes) = socket.try_update_peers() else { return };
    for (peer, state) in changes {
        let kind = match state { PeerState::Connected => "connected", PeerState::Disconnected => "disconnected" };
        println!(r#"{{"type":"{kind}","peer":"{peer}"}}"#);
        if state == PeerState::Connected {
            let text = format!("hello {peer}");
            socket.channel_mut(0).send(text.into_bytes().into(), peer);
        }
    }
    for (peer, packet) in socket.channel_mut(0).receive() {
        let text = String::from_utf8_lossy(&packet);
        println!(r#"{{"type":"message","peer":"{peer}","text":{text:?}}}"#);
    }
}
