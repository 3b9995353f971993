-- A small shop. Refusals and plans are functions of the text, the policy and the catalog: a few rows are enough.
CREATE TYPE size AS ENUM ('small', 'large');
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL, population bigint);
INSERT INTO countries VALUES ('DE', 'Germany', 83000000), ('FR', 'France', 68000000);
CREATE TABLE users (
    id bigint PRIMARY KEY, plan text NOT NULL, country text, age int, balance numeric, height double precision, email text,
    vip boolean NOT NULL, born date, joined timestamptz, tags text[], extra jsonb, home point, fit size);
INSERT INTO users (id, plan, vip) SELECT i, 'free', false FROM generate_series(1, 30) AS i;
CREATE TABLE orders (
    id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(10,2), quantity int, note text, placed timestamptz,
    country text);
CREATE TABLE order_lines (order_id bigint NOT NULL REFERENCES orders, product text, price numeric(10,2));
CREATE VIEW big_orders AS SELECT id, user_id, amount, placed FROM orders WHERE amount > 100;
CREATE TABLE salaries (user_id bigint, salary int);
