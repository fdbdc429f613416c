// go-sql-driver/mysql: binary protocol, one connection of database/sql's pool.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

type application struct {
	db           *sql.DB
	conn         *sql.Conn
	insert, look *sql.Stmt
	client       string
}

var ctx = context.Background()

func (a *application) connect() (err error) {
	if a.conn, err = a.db.Conn(ctx); err != nil {
		return err
	}
	if _, err = a.conn.ExecContext(ctx, "SET @mark = "+a.client+", time_zone = '+03:00'"); err != nil {
		return err
	}
	if a.insert, err = a.conn.PrepareContext(ctx, "INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)"); err != nil {
		return err
	}
	a.look, err = a.conn.PrepareContext(ctx, "SELECT @mark, @@time_zone")
	return err
}

func (a *application) round(seq int) error {
	tx, err := a.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err = tx.Exec("UPDATE accounts SET balance = balance + 0 WHERE id = ?", a.client); err != nil {
		return err
	}
	if _, err = tx.Stmt(a.insert).Exec(a.client, seq, strings.Repeat("é", seq%20)); err != nil {
		return err
	}
	var mark, zone string
	if err = tx.Stmt(a.look).QueryRow().Scan(&mark, &zone); err != nil {
		return err
	}
	if mark != a.client || zone != "+03:00" {
		fmt.Println("lost", mark, zone)
	}
	return tx.Commit()
}

func main() {
	port, password, client, end := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	db, err := sql.Open("mysql", "app:"+password+"@tcp(127.0.0.1:"+port+")/shop")
	if err != nil {
		panic(err)
	}
	mysql.SetLogger(silent{})
	a := &application{db: db, client: client}
	for seq := 1; ; seq++ {
		if _, gone := os.Stat(end); gone == nil {
			break
		}
		err = nil
		if a.conn == nil {
			err = a.connect()
		}
		if err == nil {
			err = a.round(seq)
		}
		if err == nil {
			fmt.Println("ok", seq)
		} else {
			code := uint16(0)
			var told *mysql.MySQLError
			if errors.As(err, &told) {
				code = told.Number
			}
			fmt.Println("error", code, strings.ReplaceAll(err.Error(), "\n", " "))
			if a.conn != nil {
				a.conn.Close()
			}
			a.conn = nil
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Println("bye")
}

type silent struct{}

func (silent) Print(...interface{}) {}
