"""Customers' master data: the table holds the last row of each account, and none of a deleted one."""

from __future__ import annotations

from itertools import islice

from app import app
from app.bank import customer_rows, terminal_lines
from app.models.customer import CustomerRow
from app.simulation.master_data import rows
from app.tables.customers import customers
from app.tables.terminals import terminals
from pelton.testing import Driver


def test_the_table_is_what_the_rows_add_up_to_over_crashes() -> None:
    expected, deleted = dict[str, CustomerRow](), 0
    with Driver(app) as driver:
        for number, (account, row) in enumerate(islice(rows(seed=5, customers=20), 400)):
            if row is None:
                deleted += 1
                del expected[account]
            else:
                expected[account] = row
            driver.send(customer_rows, account, row, settle=False)
            if number % 100 == 99:
                driver.crash(after=number // 5)
                driver.start()
        assert deleted > 10
        assert dict(customers.items()) == expected
        assert driver.request("GET", "/customers").json() == {"customers": expected}
        account, row = expected.popitem()
        assert driver.request("GET", f"/customers/{account}").json() == row
        assert driver.request("GET", "/customers/nobody").status == 404
        assert driver.dead_letters() == []


def test_a_line_that_kafka_connect_read_is_a_terminals_event() -> None:
    with Driver(app) as driver:
        driver.send(terminal_lines, None, b"1000.000 5.00 declined shop-9")
        assert (terminals["shop-9"].tried, terminals["shop-9"].declined) == (1, 1)
