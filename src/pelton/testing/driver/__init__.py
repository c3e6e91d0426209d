"""An application in a test: no broker, virtual time, crashes at will. See docs/testing.md."""

from pelton.testing.driver.driver import Driver, Record, Sent
from pelton.testing.driver.pages import Answer

__all__ = ["Answer", "Driver", "Record", "Sent"]
