import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;

/** MariaDB Connector/J with server-side prepared statements. */
public class App {
    static Connection c;
    static PreparedStatement update, insert, look;

    static void connect(String port, String password, int client) throws SQLException {
        c = DriverManager.getConnection("jdbc:mariadb://127.0.0.1:" + port
            + "/shop?useServerPrepStmts=true&allowPublicKeyRetrieval=true", "app", password);
        c.createStatement().execute("SET @mark = " + client + ", time_zone = '+03:00'");
        c.setAutoCommit(false);
        update = c.prepareStatement("UPDATE accounts SET balance = balance + 0 WHERE id = ?");
        insert = c.prepareStatement("INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)");
        look = c.prepareStatement("SELECT @mark, @@time_zone");
    }

    static void round(int client, int seq) throws SQLException {
        update.setInt(1, client);
        update.executeUpdate();
        insert.setInt(1, client);
        insert.setInt(2, seq);
        insert.setString(3, "é".repeat(seq % 20));
        insert.executeUpdate();
        try (ResultSet r = look.executeQuery()) {
            r.next();
            if (r.getInt(1) != client || !r.getString(2).equals("+03:00"))
                System.out.println("lost " + r.getString(1) + " " + r.getString(2));
        }
        c.commit();
    }

    public static void main(String[] a) throws Exception {
        int client = Integer.parseInt(a[2]);
        for (int seq = 1; !Files.exists(Path.of(a[3])); seq++) {
            try {
                if (c == null) connect(a[0], a[1], client);
                round(client, seq);
                System.out.println("ok " + seq);
            } catch (SQLException e) {
                System.out.println("error " + e.getErrorCode() + " " + e.getMessage().replace('\n', ' '));
                try { if (c != null) c.close(); } catch (SQLException closing) { /* it is gone */ }
                c = null;
                Thread.sleep(50);
            }
            Thread.sleep(5);
        }
        System.out.println("bye");
        System.exit(0);
    }
}
