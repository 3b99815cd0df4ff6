//! An agent that is told to take its time, in a hurry.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Stands between agents and a server that tells them to look for work twice a minute, and takes that out of what it
/// says, so that they look as often as they were started to. Gives its address.
pub(crate) fn impatience(server: &str) -> String {
    const SAID: &[u8] = br#""poll_interval":30"#;
    const HEARD: &[u8] = br#""poll_interval": 0"#;
    fn pump(mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let piece = &mut buffer[..read];
            if let Some(at) = piece.windows(SAID.len()).position(|window| window == SAID) {
                piece[at..at + SAID.len()].copy_from_slice(HEARD);
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        // One that is closed already is as good.
        let _ = to.shutdown(Shutdown::Both);
    }

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for agent in listener.incoming() {
            let (agent, server) = (agent.unwrap(), TcpStream::connect(&server).unwrap());
            let (back, forth) = (server.try_clone().unwrap(), agent.try_clone().unwrap());
            thread::spawn(move || pump(agent, server));
            thread::spawn(move || pump(back, forth));
        }
    });
    address
}
