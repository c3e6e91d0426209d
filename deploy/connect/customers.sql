-- What the connector `customers` reads: run it once in the database (wal_level = logical), as its user.

CREATE TABLE customers (
    account text PRIMARY KEY,
    name text NOT NULL,
    email text,
    segment text,
    credit_limit numeric(12, 2) NOT NULL DEFAULT 0,
    born date,
    notes text,
    updated timestamptz NOT NULL DEFAULT now()
);

-- Each change with all its columns: otherwise a long text that an update leaves as it is would be missing in it.
ALTER TABLE customers REPLICA IDENTITY FULL;

-- What is written here the connector does: to send all rows anew after a column came with a default value,
--     INSERT INTO debezium_signals VALUES (gen_random_uuid(), 'execute-snapshot',
--         '{"data-collections": ["public.customers"], "type": "incremental"}');
CREATE TABLE debezium_signals (id text PRIMARY KEY, type text NOT NULL, data text);
