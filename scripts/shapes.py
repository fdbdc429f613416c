"""Two sample databases of well-known shapes, made by ourselves: a film rental and a personnel office; and the command that
seeds and verifies them, or any dump.

The shapes are what public samples have and what breaks copies: circular foreign keys, cascades, ENUM, SET, YEAR, geometry,
BLOB and full text, generated and default values, views on views, triggers, a function, composite keys with dates, long
narrow tables. All rows come from their numbers, so that two runs make the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab import Deployment, Lab, LabError, Server
from lab.fetch import tool

RENTAL = (
    ("CREATE TABLE country (country_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, country VARCHAR(50) NOT NULL,"
    " last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)"),
    ("CREATE TABLE address (address_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, street VARCHAR(50) NOT NULL, district VARCHAR(20),"
    " country_id SMALLINT UNSIGNED NOT NULL, place POINT NOT NULL, KEY (country_id), SPATIAL KEY (place),"
    " CONSTRAINT address_country FOREIGN KEY (country_id) REFERENCES country (country_id) ON UPDATE CASCADE)"),
    ("CREATE TABLE store (store_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, manager_id TINYINT UNSIGNED NOT NULL UNIQUE,"
    " address_id SMALLINT UNSIGNED NOT NULL, CONSTRAINT store_address FOREIGN KEY (address_id) REFERENCES address (address_id))"),
    ("CREATE TABLE staff (staff_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(45) NOT NULL, picture BLOB,"
    " store_id TINYINT UNSIGNED NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE, secret VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin,"
    " CONSTRAINT staff_store FOREIGN KEY (store_id) REFERENCES store (store_id) ON UPDATE CASCADE)"),
    "ALTER TABLE store ADD CONSTRAINT store_manager FOREIGN KEY (manager_id) REFERENCES staff (staff_id) ON UPDATE CASCADE",
    ("CREATE TABLE film (film_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(128) NOT NULL, description TEXT,"
    " made YEAR, rate DECIMAL(4,2) NOT NULL DEFAULT 4.99, length SMALLINT UNSIGNED, rating ENUM('G','PG','PG-13','R','NC-17') DEFAULT 'G',"
    " features SET('Trailers','Commentaries','Deleted Scenes','Behind the Scenes'), KEY (title),"
    " hours DECIMAL(5,2) GENERATED ALWAYS AS (length / 60) STORED)"),
    ("CREATE TABLE film_text (film_id SMALLINT UNSIGNED PRIMARY KEY, title VARCHAR(255) NOT NULL, description TEXT,"
    " FULLTEXT KEY words (title, description))"),
    "CREATE TRIGGER film_to_text AFTER INSERT ON film FOR EACH ROW INSERT INTO film_text VALUES (NEW.film_id, NEW.title, NEW.description)",
    ("CREATE TABLE customer (customer_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, store_id TINYINT UNSIGNED NOT NULL,"
    " name VARCHAR(45) NOT NULL, email VARCHAR(50), address_id SMALLINT UNSIGNED NOT NULL, made DATETIME NOT NULL, KEY (name),"
    " CONSTRAINT customer_store FOREIGN KEY (store_id) REFERENCES store (store_id) ON UPDATE CASCADE,"
    " CONSTRAINT customer_address FOREIGN KEY (address_id) REFERENCES address (address_id) ON UPDATE CASCADE)"),
    ("CREATE TABLE rental (rental_id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME NOT NULL, film_id SMALLINT UNSIGNED NOT NULL,"
    " customer_id SMALLINT UNSIGNED NOT NULL, back DATETIME, UNIQUE KEY once (at, film_id, customer_id), KEY (customer_id),"
    " CONSTRAINT rental_film FOREIGN KEY (film_id) REFERENCES film (film_id),"
    " CONSTRAINT rental_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id) ON UPDATE CASCADE)"),
    ("CREATE TABLE payment (payment_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, rental_id INT, amount DECIMAL(5,2) NOT NULL,"
    " at TIMESTAMP(3) NULL, CONSTRAINT payment_rental FOREIGN KEY (rental_id) REFERENCES rental (rental_id) ON DELETE SET NULL)"),
    "CREATE VIEW films AS SELECT film_id, title, rating FROM film",
    ("CREATE VIEW customers AS SELECT c.customer_id, c.name, a.street, n.country FROM customer c JOIN address a USING (address_id)"
    " JOIN country n USING (country_id)"),
    "CREATE VIEW few_films AS SELECT * FROM films WHERE rating = 'G'",
    "CREATE FUNCTION is_back(n INT) RETURNS BOOLEAN READS SQL DATA RETURN (SELECT back IS NOT NULL FROM rental WHERE rental_id = n)",
)
OFFICE = (
    ("CREATE TABLE employees (emp_no INT PRIMARY KEY, birth_date DATE NOT NULL, first_name VARCHAR(14) NOT NULL,"
    " last_name VARCHAR(16) NOT NULL, gender ENUM('M','F') NOT NULL, hire_date DATE NOT NULL)"),
    "CREATE TABLE departments (dept_no CHAR(4) PRIMARY KEY, dept_name VARCHAR(40) NOT NULL UNIQUE)",
    ("CREATE TABLE dept_emp (emp_no INT NOT NULL, dept_no CHAR(4) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,"
    " PRIMARY KEY (emp_no, dept_no), KEY (dept_no), CONSTRAINT de_emp FOREIGN KEY (emp_no) REFERENCES employees (emp_no)"
    " ON DELETE CASCADE, CONSTRAINT de_dept FOREIGN KEY (dept_no) REFERENCES departments (dept_no) ON DELETE CASCADE)"),
    ("CREATE TABLE titles (emp_no INT NOT NULL, title VARCHAR(50) NOT NULL, from_date DATE NOT NULL, to_date DATE,"
    " PRIMARY KEY (emp_no, title, from_date), CONSTRAINT t_emp FOREIGN KEY (emp_no) REFERENCES employees (emp_no) ON DELETE CASCADE)"),
    ("CREATE TABLE salaries (emp_no INT NOT NULL, salary INT NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,"
    " PRIMARY KEY (emp_no, from_date), CONSTRAINT s_emp FOREIGN KEY (emp_no) REFERENCES employees (emp_no) ON DELETE CASCADE)"),
    "CREATE TABLE badges (badge BINARY(16) NOT NULL, day DATE NOT NULL, score DOUBLE, seen TIME(3), PRIMARY KEY (badge, day))",
    "CREATE VIEW latest AS SELECT emp_no, MAX(from_date) AS from_date FROM dept_emp GROUP BY emp_no",
    "CREATE VIEW now_in AS SELECT d.emp_no, d.dept_no FROM dept_emp d JOIN latest l ON l.emp_no = d.emp_no AND l.from_date = d.from_date",
)
Rows = dict[str, tuple[int, Callable[[int], str]]]
"""By table, in the order that foreign keys ask for: how many, and the values of row n as SQL."""


def rental_rows(size: int) -> Rows:
    some = max(1, size // 10)
    return {
        "country (country)": (some, lambda n: f"'country {n} é'"),
        "address (street, district, country_id, place)": (
            some, lambda n: f"'{n} Main St. ''{n}''', NULL, {1 + n % some}, ST_GeomFromText('POINT({n / 8} {-n / 4})')"),
        "store (manager_id, address_id)": (2, lambda n: f"{1 + n}, 1"),
        "staff (name, picture, store_id, secret)": (
            4, lambda n: f"'staff {n}', REPEAT(UNHEX('89504E470D0A1A0A00{n:02d}'), 300), {1 + n % 2}, LEFT(SHA2('{n}', 256), 40)"),
        "film (title, description, made, rate, length, rating, features)": (
            size, lambda n: f"'FILM {n}', 'A story of {n}\\nand more', {1960 + n % 60}, {n % 9}.99, {40 + n % 140},"
            f" {1 + n % 5}, {n % 16}"),
        "customer (store_id, name, email, address_id, made)": (
            size, lambda n: f"{1 + n % 2}, 'name {n}', NULLIF('{n}@example.org', '7@example.org'), {1 + n % some}, '2020-02-29 10:00:00'"),
        "rental (at, film_id, customer_id, back)": (
            size * 10, lambda n: f"'2023-01-01' + INTERVAL {n} MINUTE, {1 + n % size}, {1 + n * 7 % size},"
            f" IF({n} % 9, '2023-01-04' + INTERVAL {n} MINUTE, NULL)"),
        "payment (rental_id, amount, at)": (size * 10, lambda n: f"{1 + n}, {n % 12}.99, '2023-01-01' + INTERVAL {n} SECOND"),
    }  # fmt: skip


def office_rows(size: int) -> Rows:
    return {
        "departments": (9, lambda n: f"'d{n:03d}', 'department {n}'"),
        "employees": (size, lambda n: f"{10001 + n}, '1950-01-01' + INTERVAL {n % 9000} DAY, 'first{n % 800}', 'last{n % 999}',"
                      f" {1 + n % 2}, '1985-01-01' + INTERVAL {n % 5000} DAY"),
        "dept_emp": (size, lambda n: f"{10001 + n}, 'd{n % 9:03d}', '1990-01-01', '9999-01-01'"),
        "titles": (size, lambda n: f"{10001 + n}, 'title {n % 7}', '1990-01-01', NULLIF('9999-01-01', IF({n} % 3, '', '9999-01-01'))"),
        "salaries": (size * 9, lambda n: f"{10001 + n // 9}, {40000 + n % 50000}, '1990-01-01' + INTERVAL {n % 9} YEAR, '9999-01-01'"),
        "badges": (size, lambda n: f"UNHEX(LPAD(HEX({n * 2654435761}), 32, '0')), '2024-01-01' + INTERVAL {n % 366} DAY, {n} / 7,"
                   f" SEC_TO_TIME({n} / 8)"),
    }  # fmt: skip


SHAPES = {"rental": (RENTAL, rental_rows), "office": (OFFICE, office_rows)}


def fill(server: Server, size: int) -> None:
    """Both databases; the largest table of each has ten times `size` rows."""
    for schema, (definitions, rows_of) in SHAPES.items():
        server.sql(f"CREATE DATABASE {schema}")
        with server.connect(database=schema, charset="utf8mb4") as conn, conn.cursor() as cursor:
            for statement in definitions:
                cursor.execute(statement)
            cursor.execute("SET foreign_key_checks = 0")  # stores and their managers need each other
            for table, (count, row) in rows_of(size).items():
                for begin in range(0, count, 2000):
                    values = ", ".join(f"({row(n)})" for n in range(begin, min(count, begin + 2000)))
                    cursor.execute(f"INSERT INTO {table} VALUES {values}")


WRITES = (
    "UPDATE rental.rental SET back = NOW() WHERE back IS NULL AND rental_id % 40 = {n}",
    "DELETE FROM rental.payment WHERE payment_id % 90 = {n}",
    "DELETE FROM rental.rental WHERE rental_id % 300 = {n}",
    "UPDATE rental.customer SET customer_id = customer_id + 20000 WHERE customer_id % 150 = {n} AND customer_id < 20000",
    "UPDATE rental.film SET length = length + 1 WHERE film_id % 50 = {n}",
    "INSERT INTO rental.film (title, made) SELECT CONCAT(title, '!'), made FROM rental.film WHERE film_id % 70 = {n}",
    "UPDATE office.salaries SET salary = salary + 1 WHERE emp_no % 80 = {n}",
    "DELETE FROM office.employees WHERE emp_no % 200 = {n}",
    "UPDATE office.titles SET title = CONCAT(title, '+') WHERE emp_no % 90 = {n}",
    "UPDATE office.badges SET day = day + INTERVAL 1 DAY WHERE score > 50 AND MOD(FLOOR(score), 60) = {n}",
)
"""Changes while a seed runs; {n} is below 50."""


def load_dump(server: Server, path: Path) -> tuple[str, ...]:
    """A dump with its own CREATE DATABASE or USE, by the client; the schemas that are there then."""
    client = tool("mysql" if server.flavour == "mysql" else "mariadb-client")
    with path.open("rb") as dump:
        done = subprocess.run([*client.argv, f"--host={server.host}", f"--port={server.port}", "--user=root"], stdin=dump,
                              env=client.environment(), capture_output=True, check=False)  # fmt: skip
    if done.returncode:
        raise LabError(f"{path} cannot be loaded: {done.stderr.decode(errors='replace')[-500:]}")
    own = {"mysql", "sys", "information_schema", "performance_schema"}
    return tuple(r[0] for r in server.sql("SHOW DATABASES") if r[0] not in own)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--source", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--target", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--size", type=int, default=3000, help="rows of the middling tables")
    parser.add_argument("--dump", type=Path, help="an SQL file with its own CREATE DATABASE, in place of our own databases")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segue-shapes-") as folder, Lab() as lab:
        blue, green = lab.pair(args.source, args.target)
        try:
            schemas: tuple[str, ...] = tuple(SHAPES)
            if args.dump:
                schemas = load_dump(blue, args.dump)
            else:
                fill(blue, args.size)
            deployment = Deployment(Path(folder) / "d", blue, green, schemas=schemas)
            if green.flavour == "mysql":  # for views and triggers whose definer is root
                green.sql("GRANT SYSTEM_USER ON *.* TO segue@'%'")
            try:
                return _seed_and_verify(deployment)
            finally:
                deployment.stop()
        except LabError as error:
            print(error, file=sys.stderr)
            return 1


def _seed_and_verify(deployment: Deployment) -> int:
    deployment.launch()
    deployment.wait_for(lambda s: s["phase"] == "unseeded", 90)
    began = time.monotonic()
    seeded = deployment.segue("seed", limit=3600)[1]
    print(f"seeded {seeded['rows']} rows, {seeded['bytes'] / 1e6:.0f} MB in {time.monotonic() - began:.1f} s", *seeded["notes"], sep="\n  ")
    code, found = deployment.segue("verify", check=False, limit=3600)
    print(f"{'equal' if found['equal'] else 'NOT EQUAL'}: {found['rows']} rows of {len(found['tables'])} tables")
    for table in found["tables"]:
        if not table["equal"]:
            print(f"  {table}")
    return code


if __name__ == "__main__":
    sys.exit(main())
