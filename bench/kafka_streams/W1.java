import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Workload W1 on Kafka Streams: the Processor API over a RocksDB store with its cache on, binary values, and a JSON parser that
 * reads the four fields it needs. W1_RUN, BROKER_URL and APP_DATADIR are those of the other systems; ALERT_ABOVE is the
 * threshold of an alert, W1_GUARANTEE the processing guarantee.
 */
public final class W1 {
    private static final JsonFactory JSON = new JsonFactory();
    private static final long WINDOW_MS = 60_000;
    private static final double ALERT_ABOVE = Double.parseDouble(System.getenv("ALERT_ABOVE"));

    /** Counts and sums each account's window; alerts on the amounts above the threshold. */
    private static final class Velocity implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> spending;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.spending = context.getStateStore("spending");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            String id = null;
            String account = null;
            double amount = 0;
            double ts = 0;
            try (JsonParser parser = JSON.createParser(record.value())) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String field = parser.currentName();
                    parser.nextToken();
                    switch (field) {
                        case "id" -> id = parser.getText();
                        case "account" -> account = parser.getText();
                        case "amount" -> amount = parser.getDoubleValue();
                        case "ts" -> ts = parser.getDoubleValue();
                        default -> parser.skipChildren();
                    }
                }
            } catch (IOException error) {
                throw new IllegalArgumentException(error);
            }
            byte[] name = account.getBytes(StandardCharsets.UTF_8);
            long timeMs = Math.round(ts * 1000);
            byte[] key = ByteBuffer.allocate(8 + name.length).putLong(timeMs - timeMs % WINDOW_MS).put(name).array();
            byte[] before = spending.get(key);
            long count = 1;
            double sum = amount;
            if (before != null) {
                ByteBuffer totals = ByteBuffer.wrap(before);
                count += totals.getLong();
                sum = totals.getDouble() + amount;
            }
            spending.put(key, ByteBuffer.allocate(16).putLong(count).putDouble(sum).array());
            if (amount > ALERT_ABOVE) {
                String alert = "{\"id\":\"" + id + "\",\"account\":\"" + account + "\",\"count\":" + count + ",\"sum\":" + sum + "}";
                context.forward(record.withValue(alert.getBytes(StandardCharsets.UTF_8)));
            }
        }
    }

    public static void main(String[] arguments) {
        String run = System.getenv("W1_RUN");
        Topology topology = new Topology();
        topology.addSource("transactions", run + "-transactions");
        topology.addProcessor("velocity", Velocity::new, "transactions");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("spending"), Serdes.ByteArray(), Serdes.ByteArray())
                        .withCachingEnabled()
                        .withLoggingEnabled(Map.of()),
                "velocity");
        topology.addSink("alerts", run + "-alerts", "velocity");
        KafkaStreams streams = new KafkaStreams(topology, settings(run));
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Properties settings(String run) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BROKER_URL").replace("kafka://", ""));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("APP_DATADIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, System.getenv("W1_GUARANTEE"));
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256 * 1024 * 1024);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put("consumer.auto.offset.reset", "earliest");
        settings.put("consumer.max.poll.records", 10_000);
        settings.put("consumer.max.partition.fetch.bytes", 8 * 1024 * 1024);
        settings.put("producer.linger.ms", 50);
        settings.put("producer.batch.size", 256 * 1024);
        return settings;
    }
}
