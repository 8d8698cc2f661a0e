"""What a configuration exposes is said by `check-config` and at each start."""

from __future__ import annotations

import json

from tests.daemon.sidecar import LAKE, Sidecar
from tests.servers.processes import free_port


def test_each_start_and_check_config_warn(sidecar: Sidecar) -> None:
    relp = f'[[sink]]\nname = "siem"\ntype = "relp"\nhost = "127.0.0.1"\nport = {free_port()}\n'
    token = 'type = "splunk"\nurl = "http://splunk.svc:8088"\ntoken = "t"\nrequired = false\n'
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + relp + '[[sink]]\nname = "index"\n' + token,
        daemon="",
    )
    text = sidecar.config.read_text()
    sidecar.config.write_text(text.replace("127.0.0.1:", "0.0.0.0:", 1))
    shown = json.loads(sidecar.call("check-config", "--json").stdout)
    assert [each["key"] for each in shown["warnings"]] == ["daemon.listen", "sink.host", "sink.url"]
    sidecar.start()
    sidecar.wait_for_event("configuration.exposed", 3)
    logged = {
        (each.get("sink"), each["key"])
        for each in sidecar.events()
        if each["event"] == "configuration.exposed"
    }
    assert logged == {(None, "daemon.listen"), ("siem", "sink.host"), ("index", "sink.url")}
    sidecar.kill()
