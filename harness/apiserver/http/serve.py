"""The HTTPS server in a thread of its own: started and stopped by whoever drives the cluster."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import uvicorn

from harness.apiserver.http import metrics_view
from harness.apiserver.http.app import Front
from harness.apiserver.http.audit import AuditLog
from harness.apiserver.http.auth import certs, kubeconfig, rbac
from harness.apiserver.http.auth import identity as identities
from harness.apiserver.http.auth.certificate_signer import CertificateSigner
from harness.apiserver.http.auth.identity import Identity
from harness.apiserver.http.auth.jwt import Signer
from harness.apiserver.http.auth.rbac import User
from harness.apiserver.http.auth.role_aggregation import RoleAggregation
from harness.apiserver.http.auth.tokens import ADMIN, Tokens
from harness.apiserver.http.bootstrap import (
    DefaultServiceAccounts,
    KubernetesService,
    ensure_authentication,
    ensure_priority_classes,
)
from harness.apiserver.http.connections import IDLE_S, BoundedHttp
from harness.apiserver.http.custom_resources import CustomResources
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.endpoints import EndpointsMirror
from harness.apiserver.http.ingress_addresses import IngressAddresses
from harness.apiserver.http.managed_fields import tracking
from harness.apiserver.http.watch import Hub
from harness.apiserver.http.web import page as web_page
from harness.apiserver.http.web.page import Web, WebPage
from harness.model.errors import RunFailed, UserError
from harness.model.wire import Json

START_S, STOP_S = 10.0, 5.0
"""Seconds to wait for the thread, at most."""

_LASTING, _TRIES = range(20_000, 30_000), 20


class HttpServer:
    """HTTPS with bearer tokens for one API server.

    `start` and `stop` are called on the thread that drives the API server, while it handles nothing else.
    `epoch_unix_ns`: instant 0 of the cluster on the wall clock. `identity`: what clients know the cluster by, its port
    included; else a new one. `users`: further tokens and whom they belong to.
    `metrics`: what GET /metrics tells, asked on the thread that drives the API server. `audit`: takes a line for each
    request; whoever gave it closes it. `web`: a page of the cluster, on a port of its own.
    """

    def __init__(
        self,
        driver: DriverQueue,
        *,
        epoch_unix_ns: int,
        identity: Identity | None = None,
        host: str = "127.0.0.1",
        users: Mapping[str, User] | None = None,
        metrics: Callable[[], str] | None = None,
        audit: AuditLog | None = None,
        web: Web | None = None,
    ) -> None:
        self.driver = driver
        self._audit = audit
        self._web = web
        self.identity = identity or identities.new()
        self._epoch = epoch_unix_ns
        self._metrics = metrics
        self._host = host
        self._users = {**(users or {}), self.identity.token: ADMIN}
        if web is not None:
            self._users[web.token] = web.user
        self._loop = asyncio.new_event_loop()
        self._hub = Hub(self._loop, driver)
        self._accounts = DefaultServiceAccounts(driver, self.identity.authority.certificate)
        self._service = KubernetesService(driver)
        self._endpoints = EndpointsMirror(driver)
        self._custom = CustomResources(driver, epoch_unix_ns)
        self._ingresses = IngressAddresses(driver)
        self._roles = RoleAggregation(driver)
        self._signer = CertificateSigner(driver, self.identity.authority, epoch_unix_ns)
        self._certificates = certs.make(self.identity.authority, tuple(dict.fromkeys((*certs.HOSTS, host))))
        self._server: uvicorn.Server | None = None
        self._page_server: uvicorn.Server | None = None
        self._page_port = 0
        self._thread: threading.Thread | None = None
        self._address = ""

    @property
    def url(self) -> str:
        return f"https://{self._address}"

    @property
    def page_url(self) -> str:
        """Of the page, its token included, as what a browser tells no server; "" without one."""
        return "" if self._web is None else f"http://127.0.0.1:{self._page_port}/#token={self._web.token}"

    @property
    def token(self) -> str:
        """The administrator's."""
        return self.identity.token

    @property
    def authority(self) -> bytes:
        """The PEM certificate that clients trust."""
        return self.identity.authority.certificate.encode()

    def kubeconfig(self, store: Path | None = None) -> Json:
        """`store`: the file that the cluster is kept in."""
        return kubeconfig.kubeconfig(self.url, self.authority, self.token, store=store)

    def start(self) -> None:
        """Returns when requests are taken. Raises UserError (the port is taken), RunFailed."""
        listener = listen(self._host, self.identity.port)
        host, port = listener.getsockname()[:2]
        self.identity = msgspec.structs.replace(self.identity, port=port)
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        page_listener = None if self._web is None else listen("127.0.0.1", self._web.port)
        rbac.bootstrap(self.driver.server)
        if self._web is not None:
            rbac.grant(self.driver.server, web_page.USER, web_page.rules(faults=self._web.faults is not None))
        self._service.attach(host, port)
        ensure_authentication(self.driver.server, self.authority.decode())
        ensure_priority_classes(self.driver.server)
        server = self.driver.server
        server.finish_update = tracking.of_components(self._epoch, lambda: server.now)
        self._accounts.attach()
        server.admission.serve_clients()
        self._endpoints.attach()
        self._custom.attach()
        self._signer.attach()
        self._roles.attach()
        self._ingresses.attach()
        metrics_view.attach(server)
        self._hub.attach(self.driver.server)
        self.driver.on_away = self._hub.end_all
        self.driver.on_durable = self._hub.release
        front = Front(
            self.driver,
            self._hub,
            Tokens(self._users, Signer(self.identity.signing_key)),
            epoch_unix_ns=self._epoch,
            address=self._address,
            metrics=self._metrics,
            audit=self._audit,
        )
        with tempfile.TemporaryDirectory() as folder:
            # uvicorn reads keys from files only; they are gone as soon as it has.
            certificate, key, authority = (Path(folder, name) for name in ("tls.crt", "tls.key", "ca.crt"))
            certificate.write_bytes(self._certificates.server)
            authority.write_bytes(self.authority)
            key.touch(mode=0o600)
            key.write_bytes(self._certificates.server_key)
            config = uvicorn.Config(
                front,
                lifespan="off",
                http=BoundedHttp,
                ws="wsproto",
                log_config=None,
                log_level="critical",  # refusals are answers; what goes wrong within is logged by Front
                access_log=False,
                server_header=False,
                ssl_certfile=str(certificate),
                ssl_keyfile=str(key),
                ssl_ca_certs=str(authority),  # of clients that show a certificate instead of a token
                ssl_cert_reqs=ssl.CERT_OPTIONAL,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=IDLE_S,
            )
            config.load()
        self._server = uvicorn.Server(config)
        if page_listener is not None and self._web is not None:
            self._page_port = page_listener.getsockname()[1]
            self._page_server = _page_server(WebPage(front, front.ask, self._web, self._page_port))
        listeners = (listener, page_listener)
        self._thread = threading.Thread(target=self._run, args=listeners, name="apiserver-http", daemon=True)
        self._thread.start()
        waited = 0.0
        while not self._server.started:
            if not self._thread.is_alive() or waited > START_S:
                raise RunFailed("the HTTPS server did not start", hint="see the log above")
            self._thread.join(0.01)
            waited += 0.01

    def _run(self, listener: socket.socket, page_listener: socket.socket | None) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(listener, page_listener))
        finally:
            listener.close()
            if page_listener is not None:
                page_listener.close()
            self._loop.close()

    async def _serve(self, listener: socket.socket, page_listener: socket.socket | None) -> None:
        assert self._server is not None
        serving = [self._server.serve(sockets=[listener])]
        if self._page_server is not None and page_listener is not None:
            serving.append(self._page_server.serve(sockets=[page_listener]))
        await asyncio.gather(*serving)

    def stop(self) -> None:
        """Ends every watch, refuses what waits, and waits for the thread."""
        self._hub.detach()
        self.driver.on_durable = None
        self.driver.server.finish_update = None
        self._accounts.detach()
        self._service.detach()
        self._endpoints.detach()
        self._custom.detach()
        self._signer.detach()
        self._roles.detach()
        self._ingresses.detach()
        metrics_view.detach(self.driver.server)
        self.driver.close()
        if self._server is not None and self._thread is not None:
            servers = [server for server in (self._server, self._page_server) if server is not None]
            for server in servers:
                server.should_exit = True
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                for server in servers:
                    server.force_exit = True
                self._thread.join(STOP_S)


def _page_server(page: WebPage) -> uvicorn.Server:
    """Plain HTTP: the page is for browsers of this machine, which would distrust the cluster's own authority."""
    config = uvicorn.Config(
        page,
        lifespan="off",
        http=BoundedHttp,
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=IDLE_S,
    )
    config.load()
    return uvicorn.Server(config)


def lasting_port(host: str = "127.0.0.1") -> int:
    """A free port that a cluster can have again after a restart: below those that systems give to who connects
    (Linux's ip_local_port_range begins at 32768), or a client that connects meanwhile might hold it."""
    for _ in range(_TRIES):
        port = _LASTING.start + secrets.randbelow(len(_LASTING))
        try:
            listen(host, port).close()
        except UserError:
            continue
        return port
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Raises UserError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, so that asyncio switches Nagle off: without that every answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            "cannot listen for clients",
            found=f"{host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="stop who listens there, or --port 0: a free one, and the kubeconfig is written anew",
        ) from None
    return listener
