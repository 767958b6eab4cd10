import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Runs many command lines in one JVM for one_jvm.py: a line of JSON (the arguments) in, a line {"code", "out", "err"} out. */
public final class OneJvm {
    public static void main(String[] none) throws Exception {
        ObjectMapper json = new ObjectMapper();
        PrintStream answers = System.out;
        Method execute = Class.forName("dev.headstart.cli.HeadstartCommand")
                .getDeclaredMethod("execute", PrintStream.class, PrintStream.class, String[].class);
        execute.setAccessible(true);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode given = json.readTree(line);
            String[] args = json.convertValue(given, String[].class);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            PrintStream o = new PrintStream(out, true, StandardCharsets.UTF_8);
            PrintStream e = new PrintStream(err, true, StandardCharsets.UTF_8);
            System.setOut(o);
            int code = (Integer) execute.invoke(null, o, e, args);
            o.flush();
            e.flush();
            answers.write(json.writeValueAsBytes(Map.of(
                    "code", code,
                    "out", out.toString(StandardCharsets.UTF_8),
                    "err", err.toString(StandardCharsets.UTF_8))));
            answers.write('\n');
            answers.flush();
        }
    }
}
