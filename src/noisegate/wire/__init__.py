"""The PostgreSQL protocol: messages, the two-sided session, TLS and SCRAM, the server around them."""

from noisegate.wire.server import Server, ServerConfig, serve
from noisegate.wire.tls import make_self_signed

__all__ = ["Server", "ServerConfig", "make_self_signed", "serve"]
