<?php
// mysqli (mysqlnd): binary protocol for what is prepared.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
[, $port, $password, $client, $end] = $argv;
$seq = 0;
$c = null;
while (!file_exists($end)) {
    $seq++;
    try {
        if ($c === null) {
            $c = new mysqli('127.0.0.1', 'app', $password, 'shop', (int)$port);
            $c->query("SET @mark = $client, time_zone = '+03:00'");
            $update = $c->prepare('UPDATE accounts SET balance = balance + 0 WHERE id = ?');
            $insert = $c->prepare('INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)');
            $look = $c->prepare('SELECT @mark, @@time_zone');
        }
        $note = str_repeat('é', $seq % 20);
        $c->begin_transaction();
        $update->bind_param('i', $client);
        $update->execute();
        $insert->bind_param('iis', $client, $seq, $note);
        $insert->execute();
        $look->execute();
        $row = $look->get_result()->fetch_row();
        if ((int)$row[0] !== (int)$client || $row[1] !== '+03:00') echo "lost $row[0] $row[1]\n";
        $c->commit();
        echo "ok $seq\n";
    } catch (mysqli_sql_exception $e) {
        echo 'error ', $e->getCode(), ' ', str_replace("\n", ' ', $e->getMessage()), "\n";
        $c = null;
        usleep(50000);
    }
    usleep(5000);
}
echo "bye\n";
