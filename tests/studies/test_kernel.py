"""The kernel that runs notebooks, and replies that come at a bad moment."""

import asyncio
import time
from queue import Empty

import pytest
import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from skillkit.studies import kernel as kernels
from skillkit.studies.kernel import PollingChannel, ThisPython


async def reply_while_sending(channel_class):
    """A reply arrives at a channel that waits, and a message is sent past the event loop before that wakes up."""
    session, context = Session(), zmq.asyncio.Context()
    kernel, client = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = kernel.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    channel = channel_class(client, session)
    try:
        session.send(client, "execute_request")
        request = await kernel.recv_multipart()
        waiting = asyncio.ensure_future(channel.get_msg(None))
        await asyncio.sleep(0.1)
        reply = session.serialize(session.msg("execute_reply"))
        zmq.Socket.shadow(kernel.underlying).send_multipart([request[0], *reply])
        time.sleep(0.1)  # no other task runs until the reply is here
        session.send(client, "comm_msg")
        return (await asyncio.wait_for(waiting, 1))["msg_type"]
    finally:
        context.destroy(linger=0)


def test_a_reply_that_comes_while_something_is_sent_is_not_missed(monkeypatch):
    monkeypatch.setattr(kernels, "POLL_INTERVAL", 0.05)
    assert asyncio.run(reply_while_sending(PollingChannel)) == "execute_reply"
    with pytest.raises(TimeoutError):  # else the class is needed no more
        asyncio.run(reply_while_sending(AsyncZMQSocketChannel))


def test_waiting_ends_in_time(monkeypatch):
    monkeypatch.setattr(kernels, "POLL_INTERVAL", 0.05)

    async def wait():
        with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
            await PollingChannel(socket, Session()).get_msg(0.12)

    with pytest.raises(Empty):
        asyncio.run(wait())


def test_notebooks_are_run_by_it():
    assert ThisPython().client().shell_channel_class is PollingChannel
