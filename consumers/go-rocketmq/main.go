// Command consumer reads hookmq's messages with RocketMQ's client for Go (remoting): brokers 4.8 to 5.x.
//
//	NAME_SERVER=127.0.0.1:9876 TOPIC=webhooks_github go run .
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

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
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
	if properties["CE_specversion"] == "" {
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
		if attribute, found := strings.CutPrefix(name, "CE_"); found {
			named[attribute] = value
		}
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
	login := primitive.Credentials{AccessKey: env("ACCESS_KEY", ""), SecretKey: env("SECRET_KEY", "")}
	c, err := rocketmq.NewPushConsumer(
		consumer.WithGroupName(env("GROUP", "webhooks")),
		consumer.WithNameServer([]string{env("NAME_SERVER", "127.0.0.1:9876")}),
		consumer.WithCredentials(login), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err = errors.Join(failed, err); err != nil {
		log.Fatal(err)
	}
	err = c.Subscribe(env("TOPIC", "webhooks"), consumer.MessageSelector{},
		func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			if err := process(db, messages[0].Body, messages[0].GetProperties()); err != nil {
				log.Println(err)
				return consumer.ConsumeRetryLater, nil // after 16 times it is in %DLQ%GROUP
			}
			return consumer.ConsumeSuccess, nil
		})
	if err = errors.Join(err, c.Start()); err != nil {
		log.Fatal(err)
	}
	select {}
}
