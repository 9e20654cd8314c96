"""HTTP as uvicorn reads it; what is none is refused in JSON, like all else."""

import sys
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from derain.serve.refusals import said_of

SENTENCES = {431: "the address and the headers are too long; send less"}
NO_HTTP = "not an HTTP/1.1 request; openapi.json says what can be asked for"


class Protocol(H11Protocol):
    """A connection to a client."""

    def send_400_response(self, msg: str) -> None:
        """Called where h11 cannot read what came; its error says what kind of refusal that is."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            status = HTTPStatus(getattr(sys.exception(), "error_status_hint", 400))
            body = said_of(status, SENTENCES.get(status, NO_HTTP)).encode()
            headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
            events = (
                h11.Response(status_code=status, headers=[*headers.items()], reason=status.phrase.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()
