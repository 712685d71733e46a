// Command consumer reads hookmq's messages with Pulsar's client for Go: Pulsar 2.8 to 4.x, TDMQ for Pulsar. Tried with 4.0.7.
//
//	SERVICE_URL=pulsar://127.0.0.1:6650 TOPIC=persistent://public/default/github go run .
//
// Replace `handle`. Settings are environment variables; docs/consumers.md of hookmq explains them.
package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/cloudevents/sdk-go/v2/event"
	_ "modernc.org/sqlite"
)

const (
	leaseMs = 60_000 // longer than handle takes
	table   = `CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, lease BIGINT, done BIGINT DEFAULT 0,
		PRIMARY KEY (source, id))` // keep rows for 75 hours
	// PostgreSQL takes the same statements. With `lease TIMESTAMPTZ` and the database's clock this one is
	// … VALUES ($1, $2, now() + interval '60 s') … WHERE seen.done = 0 AND seen.lease < now()
	take = `INSERT INTO seen (source, id, lease) VALUES ($1, $2, $3) ON CONFLICT (source, id)
		DO UPDATE SET lease = excluded.lease WHERE seen.done = 0 AND seen.lease < $4 RETURNING done`
	repeat = "SELECT done FROM seen WHERE source = $1 AND id = $2 AND done > 0"
	finish = "UPDATE seen SET done = $1 WHERE source = $2 AND id = $3"
	free   = "UPDATE seen SET lease = 0 WHERE source = $1 AND id = $2 AND lease = $3"
)

var keys, isJSON = regexp.MustCompile(`^[\w./-]+$`), regexp.MustCompile(`(?i)^[^;]*[/+]json\s*(;|$)`)

// handle is your own code: it returns nil when the work is done, and an error if the message shall come again.
func handle(e *event.Event, data []byte) error {
	fmt.Println(e.Type(), e.ID(), cmp.Or(e.Subject(), "-"))
	return nil
}

// read parses a message: the text is the event (structured mode) or, for `format = "raw"`, its data (binary mode).
func read(text []byte, properties map[string]string) (*event.Event, error) {
	e := &event.Event{}
	if properties["ce_specversion"] == "" {
		// The body is the last member. The SDK keeps application/json as it is, and refuses application/x+json.
		head, member, found := bytes.Cut(text, []byte(`,"data":`))
		if !found {
			return e, e.UnmarshalJSON(text)
		}
		err := e.UnmarshalJSON(append(bytes.Clone(head), '}'))
		e.DataEncoded = bytes.TrimSuffix(member, []byte("}"))
		if body := ""; err == nil && !isJSON.MatchString(e.DataContentType()) {
			err = json.Unmarshal(e.DataEncoded, &body)
			e.DataEncoded = []byte(body)
		}
		return e, err
	}
	named := map[string]any{"data_base64": text} // which JSON's encoder makes of bytes
	for name, value := range properties {
		if attribute, found := strings.CutPrefix(name, "ce_"); found {
			named[attribute] = value
		}
	}
	if kind, found := properties["content-type"]; found {
		named["datacontenttype"] = kind
	}
	head, _ := json.Marshal(named)
	return e, e.UnmarshalJSON(head)
}

// fetch returns the body. One that was too large is elsewhere: DATAREF_PREFIX=s3://BUCKET/ is DATAREF_BASE=https://…
func fetch(e *event.Event) ([]byte, error) {
	reference, found := e.Extensions()["dataref"].(string)
	if !found {
		return e.Data(), nil
	}
	base := env("DATAREF_BASE", "")
	key, found := strings.CutPrefix(reference, env("DATAREF_PREFIX", "s3://"))
	if !found || !strings.HasPrefix(base, "https://") || !keys.MatchString(key) || strings.Contains(key, "..") {
		return nil, fmt.Errorf("refused %s: see DATAREF_PREFIX and DATAREF_BASE", reference)
	}
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Get(base + key)
	if err != nil || answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %v %v", reference, answer, err)
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// process returns nil if the message is to be acknowledged; otherwise it comes again.
func process(db *sql.DB, text []byte, properties map[string]string) error {
	e, err := read(text, properties)
	if err != nil {
		return err
	}
	if verified := e.Extensions()["webhookverified"]; verified != env("WEBHOOK_VERIFIED", "body") {
		return fmt.Errorf("refused %s: webhookverified is %v", e.ID(), verified)
	}
	var done, now = int64(0), time.Now().UnixMilli()
	lease := now + leaseMs
	err = db.QueryRow(take, e.Source(), e.ID(), lease, now).Scan(&done)
	if err == sql.ErrNoRows {
		if err = db.QueryRow(repeat, e.Source(), e.ID()).Scan(&done); err == nil {
			log.Println("repeat", e.ID()) // else another consumer is at work on it
		}
	}
	if err != nil || done > 0 {
		return err
	}
	// After a failure the next attempt need not wait for the end of the lease.
	defer db.Exec(free, e.Source(), e.ID(), lease)
	data, err := fetch(e)
	if err == nil {
		err = handle(e, data)
	}
	if err == nil {
		_, err = db.Exec(finish, now, e.Source(), e.ID())
	}
	return err
}

func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

func main() {
	db, _ := sql.Open("sqlite", env("DATABASE", "seen.db")) // connects at the first statement
	db.SetMaxOpenConns(1)                                   // SQLite has one writer
	_, failed := db.Exec(table)
	login := pulsar.NewAuthenticationToken(env("TOKEN", ""))
	if env("TOKEN", "") == "" {
		login = nil
	}
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: env("SERVICE_URL", "pulsar://127.0.0.1:6650"), Authentication: login,
	})
	if err = errors.Join(failed, err); err != nil {
		log.Fatal(err)
	}
	consumer, err := client.Subscribe(pulsar.ConsumerOptions{
		Topic: env("TOPIC", "webhooks"), SubscriptionName: env("GROUP", "webhooks"), Type: pulsar.Shared,
		SubscriptionInitialPosition: pulsar.SubscriptionPositionEarliest, NackRedeliveryDelay: 10 * time.Second,
		// What was delivered 16 times in vain is in that topic.
		DLQ: &pulsar.DLQPolicy{MaxDeliveries: 16, DeadLetterTopic: env("TOPIC", "webhooks") + "-DLQ"},
	})
	for err == nil {
		var message pulsar.Message
		if message, err = consumer.Receive(context.Background()); err != nil {
			break
		}
		if failure := process(db, message.Payload(), message.Properties()); failure != nil {
			log.Println(failure)
			consumer.Nack(message)
		} else {
			err = consumer.Ack(message)
		}
	}
	log.Fatal(err)
}
