"""Devices, driven: minutes, heartbeats, anomalies and drift, with readings late and out of order, whatever dies."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec
import pytest

from app import app
from app.bank import (
    anomaly_alerts,
    device_alerts,
    device_minutes,
    judgements,
    late_readings,
    readings,
    scored_readings,
)
from app.commands.simulate_telemetry import shuttle, water_flow
from app.detector import Detector
from app.models import DeviceAlert, DeviceMinute, Reading
from app.roc import roc_auc
from app.simulation.devices import ArrivingReading, DevicesPlan, arrivals
from app.tables import detectors, devices
from pelton.testing import Driver

START = 1_767_614_400.0


def send(driver: Driver, arriving: Iterable[ArrivingReading], **options: Any) -> None:
    driver.send_many(readings, [(one.reading.device, one.reading, one.arrival) for one in arriving], **options)


def reading(ts: float, **values: float) -> Reading:
    return Reading("d", START + ts, values or {"t": 20.0})


def outcome(driver: Driver) -> dict[str, Any]:
    """Return everything that came of the readings, in an order of its own."""
    assert not driver.dead_letters()
    found: dict[str, Any] = {
        topic.get_topic_name(): sorted(msgspec.json.encode(one.value) for one in driver.read(topic, again=True))
        for topic in (device_alerts, device_minutes, scored_readings, late_readings)
    }
    return found | {"devices": dict(devices.items()), "detectors": dict(detectors.items())}


def alerts(driver: Driver) -> list[DeviceAlert]:
    return [record.value for record in driver.read(device_alerts, again=True)]


def test_each_reading_is_in_the_minute_of_its_own_time_whenever_it_comes() -> None:
    with Driver(app) as driver:
        for ts in (10, 70, 5, 130, 59, 61, 200, 8):
            driver.send(readings, "d", reading(ts, t=float(ts)), ts=START + 300)
        closed: list[DeviceMinute] = [record.value for record in driver.read(device_minutes)]
        (minute,) = closed
        assert (minute.device, minute.start, minute.readings) == ("d", START, 3)
        assert msgspec.to_builtins(minute.metrics["t"]) == {"count": 3, "low": 5.0, "high": 59.0, "mean": 24.666667}
        assert [record.value.ts for record in driver.read(late_readings)] == [START + 8], "its minute was final"

        device = driver.request("GET", "/devices/device?id=d").json()
        assert (device["values"], device["readings"], device["late"]) == ({"t": 200.0}, 8, 4)
        assert [(one["start"] - START, one["readings"], one["final"]) for one in device["minutes"]] == [
            (0, 3, True),
            (60, 2, False),
            (120, 1, False),
            (180, 1, False),
        ]
        assert driver.request("GET", "/devices/device?id=x").status == 404


def test_what_a_wrong_clock_says_is_put_aside_and_spoils_nothing() -> None:
    sent = [(0, 0), (330, 20), (319, 20), (10**8, 40), (60, 60), (600, 600), (30, 601), (31, 602)]
    with Driver(app) as driver:
        for number, (ts, came) in enumerate(sent):
            driver.send(readings, "d", reading(ts, t=float(ts)), ts=START + came)
            if number % 3 == 2:
                driver.crash()
                driver.start()
        put_aside = [record.value.ts - START for record in driver.read(late_readings)]
        assert put_aside == [330, 10**8, 60, 30, 31], "two of the future, three whose minute was final"
        minutes = [(record.value.start - START, record.value.readings) for record in driver.read(device_minutes)]
        assert minutes == [(0, 1), (300, 1)]
        device = driver.request("GET", "/devices/device?id=d").json()
        assert (device["ts"] - START, device["values"]) == (600, {"t": 600.0})
        assert (device["readings"], device["late"]) == (8, 5)


def test_a_device_that_is_not_heard_of_is_missing_once_until_it_is_back() -> None:
    with Driver(app, start=START) as driver:
        driver.send(readings, "d", reading(0), ts=START)
        driver.advance(59)
        assert alerts(driver) == []
        driver.advance(2)
        assert [alert.id for alert in alerts(driver)] == [f"missing:d:{START:.3f}"]
        driver.advance(600)
        assert driver.request("GET", "/devices").json()["devices"][0]["missing"]
        driver.send(readings, "d", reading(-5), ts=START + 700)  # sent from its buffer: it lives
        assert not devices["d"].missing
        driver.advance(61)
        assert len(alerts(driver)) == 2


def test_other_devices_tell_that_one_is_missing_without_any_clock() -> None:
    names = [f"d{number}" for number in range(20)]  # some of them share a partition
    with Driver(app) as driver:
        driver.send_many(readings, [(name, Reading(name, START, {"t": 1.0}), START) for name in names])
        driver.send_many(readings, [(name, Reading(name, START + 61, {"t": 1.0}), START + 61) for name in names[1:]])
        assert "d0" in {alert.device for alert in alerts(driver)}


def test_faults_are_found_in_simulated_machines() -> None:
    plan = DevicesPlan(7, 10, 5.0, START)
    arriving = list(islice(arrivals(plan), 8_000))
    with Driver(app) as driver:
        send(driver, arriving)
        found = alerts(driver)
        labels = {(one.reading.device, one.reading.ts): one.label for one in arriving}
        spikes = {key for key, label in labels.items() if label == "spike" and key[1] > START + 500 * plan.period}
        told = {(alert.device, alert.ts) for alert in found if alert.kind == "anomaly"}
        assert len(spikes & told) >= 0.6 * len(spikes) > 0
        assert len(told - spikes) < 0.005 * len(arriving), "false alarms are rare"
        assert {alert.device for alert in found if alert.kind == "drift" and "temperature_c" in alert.metrics} >= {
            "atm-0007"
        }
        assert {alert.device for alert in found if alert.kind == "missing"} == {"atm-0003"}
        suspicious = {f"device:{alert.device}:{alert.ts:.3f}" for alert in found if alert.kind in ("anomaly", "drift")}
        judged = {record.value.id: record.value for record in driver.read(judgements)}
        assert {name for name, one in judged.items() if one.selected} == suspicious
        assert {record.value.id for record in driver.read(anomaly_alerts)} == suspicious
        assert all(one.source == "device" and one.why == "there is no model" for one in judged.values())
        spike = judged[next(f"device:{device}:{ts:.3f}" for device, ts in sorted(spikes & told))]
        assert "standard deviations from its mean" in spike.explanation
        buffered = devices["atm-0005"]
        assert buffered.late > 0
        minutes = [record.value for record in driver.read(device_minutes)]
        counts = [minute.readings for minute in minutes if minute.device == "atm-0005"]
        assert set(counts[:20]) == {12}, "late ones are in their minutes"


def test_a_crash_changes_nothing() -> None:
    arriving = list(islice(arrivals(DevicesPlan(3, 10, 5.0, START)), 1_500))
    with Driver(app) as driver:
        send(driver, arriving)
        expected = outcome(driver)
    with Driver(app) as driver:
        for number, begin in enumerate(range(0, len(arriving), 250)):
            send(driver, arriving[begin : begin + 250], settle=number % 2 == 0)
            driver.crash(after=4 * number)
            if number == 3:
                driver.lose_disk()
            driver.start()
        assert outcome(driver) == expected


def test_a_detector_made_of_its_state_goes_on_as_if_nothing_had_been() -> None:
    data = [one.reading.values for one in islice(shuttle(START, 1), 900)]
    whole = cut = Detector(sorted(data[0]))
    for number, values in enumerate(data):
        if number % 97 == 0:
            encoded = msgspec.msgpack.encode(cut.state())
            cut = Detector([], msgspec.msgpack.decode(encoded, type=type(cut.state())))
        first, second = whole.judge(values), cut.judge(values)
        assert (first.score, first.anomalous, first.drifting) == (second.score, second.anomalous, second.drifting)
    assert whole.state() == cut.state()


def test_a_metric_that_is_left_out_or_new_is_no_error() -> None:
    with Driver(app) as driver:
        for ts, values in enumerate([{"a": 1.0, "b": 2.0}, {"a": 1.0}, {"c": 3.0}, {"a": 1e12, "b": -1e12}] * 200):
            driver.send(readings, "d", reading(ts, **values), ts=START + ts, settle=False)
        driver.advance(1)
        assert not driver.dead_letters()
        assert devices["d"].readings == 800


@pytest.mark.parametrize(
    "bad", [b'{"device":"d","ts":-1,"values":{"t":1}}', b'{"device":"d","ts":1,"values":{}}', b"x"]
)
def test_what_is_no_reading_is_kept_aside(bad: bytes) -> None:
    with Driver(app) as driver:
        driver.send(readings, "d", bad, ts=START)
        assert len(driver.dead_letters()) == 1
        assert devices["d"].readings == 0


def test_a_shuttle() -> None:
    arriving = list(islice(shuttle(START, 5.0), 4_000))
    with Driver(app) as driver:
        send(driver, arriving)
        scored = [record.value for record in driver.read(scored_readings)]
    labels = [bool(one.label) for one in arriving]
    auc = roc_auc(labels, [one.score for one in scored])
    assert auc is not None
    assert auc > 0.9
    alerted = [label for label, one in zip(labels, scored, strict=True) if one.alert]
    assert sum(alerted) > 0.9 * len(alerted) > 100


def test_a_water_main() -> None:
    arriving = list(water_flow(START, 3_600.0))
    with Driver(app) as driver:
        send(driver, arriving)
        (anomaly,) = [alert for alert in alerts(driver) if alert.kind == "anomaly"]
        flow = {one.reading.ts: one.reading.values["flow_l_s"] for one in arriving}
    assert 865 < (anomaly.ts - START) / 3_600 < 885, "where maintenance took the flow from 100 to 24 litres a second"
    assert min(flow[anomaly.ts + 3_600 * hour] for hour in range(12)) < 30


def test_pages() -> None:
    with Driver(app) as driver:
        send(driver, islice(arrivals(DevicesPlan(7, 5, 5.0, START)), 100))
        answer = driver.request("GET", "/devices").json()
        assert answer["known"] == 5
        page = driver.request("GET", "/devices/page")
        assert b"<h1>Devices" in page.body
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert b"innerHTML" not in driver.request("GET", "/devices.js").body


def test_the_area_under_the_curve() -> None:
    assert roc_auc([False, True], [0.1, 0.2]) == 1.0
    assert roc_auc([True, False], [0.1, 0.2]) == 0.0
    assert roc_auc([True, False], [0.5, 0.5]) == 0.5
    assert roc_auc([True, True], [0.1, 0.2]) is None
