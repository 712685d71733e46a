// Reads hookmq's messages with RocketMQ's gRPC client: a proxy of RocketMQ 5, not 4.8. Tried with 5.3.3.
//   mvn -q compile dependency:copy-dependencies -DoutputDirectory=target/lib
//   ENDPOINT=127.0.0.1:8081 TOPIC=webhooks_github java -cp 'target/classes:target/lib/*' Consumer
// Replace `handle`. Settings are environment variables; docs/consumers.md of hookmq explains them.
import static java.nio.charset.StandardCharsets.UTF_8;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.jackson.JsonFormat;
import java.net.URI;
import java.net.http.*;
import java.sql.*;
import java.time.Duration;
import java.util.Map;
import org.apache.rocketmq.client.apis.*;
import org.apache.rocketmq.client.apis.consumer.*;
import org.apache.rocketmq.client.apis.message.MessageView;

public final class Consumer {
    static final long LEASE_MS = 60_000; // longer than `handle` takes
    static final String TABLE = "CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, lease BIGINT,"
        + " done BIGINT DEFAULT 0, PRIMARY KEY (source, id))"; // keep rows for 75 hours
    // PostgreSQL takes the same statement. With `lease TIMESTAMPTZ` and the database's clock it is
    // … VALUES (?, ?, now() + interval '60 s') … WHERE seen.done = 0 AND seen.lease < now()
    static final String LEASE = "INSERT INTO seen (source, id, lease) VALUES (?, ?, ?) ON CONFLICT"
        + " (source, id) DO UPDATE SET lease = excluded.lease WHERE seen.done = 0 AND seen.lease < ?";
    static final String REPEAT = "UPDATE seen SET lease = 0 WHERE source = ? AND id = ? AND done > 0";
    static final String DONE = "UPDATE seen SET done = ? WHERE source = ? AND id = ?";
    static final String FREE = "UPDATE seen SET lease = 0 WHERE source = ? AND id = ? AND lease = ?";
    static final HttpClient HTTP = HttpClient.newHttpClient();
    static Connection database;

    /** Your own code: it returns when the work is done, and throws if the message shall come again. */
    static void handle(CloudEvent event, byte[] data) {
        String subject = event.getSubject() == null ? "-" : event.getSubject();
        System.out.println(event.getType() + " " + event.getId() + " " + subject);
    }

    /** `format = "cloudevents"` is structured mode, the text being the event; `raw` is binary mode. */
    static CloudEvent read(MessageView message) {
        if (message.getProperties().get("CE_specversion") == null) {
            String text = new String(body(message), UTF_8);
            // The body is the last member. The SDK would write JSON anew, and refuses application/vnd.x+json.
            return new JsonFormat().deserialize(text.replaceFirst("(?s),\"data\":.*", "}").getBytes(UTF_8));
        }
        var event = io.cloudevents.core.builder.CloudEventBuilder.v1().withData(body(message));
        for (var entry : message.getProperties().entrySet())
            if (entry.getKey().matches("CE_(?!contenttype|specversion).*"))
                event.withContextAttribute(entry.getKey().substring(3), entry.getValue());
        return event.build();
    }

    static byte[] body(MessageView message) {
        byte[] bytes = new byte[message.getBody().remaining()];
        message.getBody().duplicate().get(bytes);
        return bytes;
    }

    /** The body as it was verified, byte for byte. */
    static byte[] data(CloudEvent event, MessageView message) throws Exception {
        if (event.getExtension("dataref") != null) return fetch(event.getExtension("dataref").toString());
        if (event.getData() != null) return event.getData().toBytes();
        String text = new String(body(message), UTF_8), type = event.getDataContentType();
        String member = text.substring(text.indexOf(",\"data\":") + 8, text.length() - 1);
        boolean isJson = type.matches("(?i)[^;]*[/+]json\\s*(;.*)?");
        return (isJson ? member : new ObjectMapper().readValue(member, String.class)).getBytes(UTF_8);
    }

    /** Gets a body that was too large: DATAREF_PREFIX=s3://BUCKET/ is found at DATAREF_BASE=https://… */
    static byte[] fetch(String reference) throws Exception {
        String prefix = env("DATAREF_PREFIX", "s3://"), base = env("DATAREF_BASE", "");
        String key = reference.startsWith(prefix) ? reference.substring(prefix.length()) : "..";
        if (!base.startsWith("https://") || !key.matches("[\\w./-]+") || key.contains(".."))
            throw new SecurityException("refused " + reference + ": see DATAREF_PREFIX and DATAREF_BASE");
        var request = HttpRequest.newBuilder(URI.create(base + key)).timeout(Duration.ofSeconds(30));
        var answer = HTTP.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        if (answer.statusCode() != 200) throw new java.io.IOException(reference + ": " + answer.statusCode());
        return answer.body();
    }

    static synchronized int sql(String text, Object... values) throws SQLException {
        try (var statement = database.prepareStatement(text)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            return statement.executeUpdate();
        }
    }

    /** Returns true if the message is to be acknowledged; otherwise it comes again. */
    static boolean take(MessageView message) throws Exception {
        CloudEvent event = read(message);
        String source = event.getSource().toString(), id = event.getId();
        Object verified = event.getExtension("webhookverified");
        if (!env("WEBHOOK_VERIFIED", "body").equals(verified))
            throw new SecurityException("refused " + id + ": webhookverified is " + verified);
        long now = System.currentTimeMillis(), lease = now + LEASE_MS;
        if (sql(LEASE, source, id, lease, now) == 0) {
            boolean isDone = sql(REPEAT, source, id) == 1;
            if (isDone) System.err.println("repeat " + id); // else another consumer is at work on it
            return isDone;
        }
        try {
            handle(event, data(event, message));
            return sql(DONE, now, source, id) == 1;
        } finally {
            sql(FREE, source, id, lease); // after a failure the next attempt need not wait for the end
        }
    }
    static String env(String name, String otherwise) { return System.getenv().getOrDefault(name, otherwise); }

    public static void main(String[] arguments) throws Exception {
        database = DriverManager.getConnection(env("DATABASE", "jdbc:sqlite:seen.db")); sql(TABLE);
        var settings = ClientConfiguration.newBuilder().setEndpoints(env("ENDPOINT", "127.0.0.1:8081"));
        settings.enableSsl(Boolean.parseBoolean(env("TLS", "false")));
        if (!env("ACCESS_KEY", "").isEmpty()) settings.setCredentialProvider(
            new StaticSessionCredentialsProvider(env("ACCESS_KEY", ""), env("SECRET_KEY", "")));
        ClientServiceProvider.loadService().newPushConsumerBuilder().setClientConfiguration(settings.build())
            .setConsumerGroup(env("GROUP", "webhooks"))
            .setSubscriptionExpressions(Map.of(env("TOPIC", "webhooks"), FilterExpression.SUB_ALL))
            .setMessageListener(message -> {
                try {
                    if (take(message)) return ConsumeResult.SUCCESS;
                } catch (Exception failure) { System.err.println(failure.getMessage()); }
                return ConsumeResult.FAILURE; // after 16 times it is in %DLQ%GROUP
            }).build();
    }
}
