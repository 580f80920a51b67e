// Package sql walks a login whose attributes come from PostgreSQL or MariaDB.
package sql
