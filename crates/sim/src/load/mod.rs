//! Load over real sockets.
