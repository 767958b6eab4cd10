package dev.headstart.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Dependencies point one way, between modules and between the packages of core; no package lies in two jars; the BOM names every module. */
class ArchitectureTest {
    static final Path ROOT = root();
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.headstart");

    /** Packages of core from the ground up; those of one line may use each other, and all lines before it. */
    private static final List<List<String>> CORE = List.of(
            List.of("io", "hub", "nn", "text", "vision", "audio"),
            List.of("generation"),
            List.of("models", "peft"),
            List.of("pipeline"));

    /** Modules above core from the ground up; each may use those before it. */
    private static final List<String> MODULES = List.of("data", "train", "insight", "health", "server", "cli");

    @Test
    void corePackagesUseOnlyThoseBelow() {
        assertThat(CLASSES.stream().map(type -> type.getPackageName()))
                .contains("dev.headstart.io", "dev.headstart.nn");
        for (int level = 0; level < CORE.size(); level++) {
            String[] below = packages(CORE.get(level));
            String[] above = packages(Stream.concat(
                            CORE.subList(level + 1, CORE.size()).stream().flatMap(List::stream), MODULES.stream())
                    .toList());
            noClasses()
                    .that()
                    .resideInAnyPackage(below)
                    .should()
                    .dependOnClassesThat()
                    .resideInAnyPackage(above)
                    .allowEmptyShould(true)
                    .check(CLASSES);
        }
    }

    @Test
    void modulesUseOnlyThoseBelow() {
        for (int level = 0; level < MODULES.size() - 1; level++) {
            noClasses()
                    .that()
                    .resideInAnyPackage(packages(List.of(MODULES.get(level))))
                    .should()
                    .dependOnClassesThat()
                    .resideInAnyPackage(packages(MODULES.subList(level + 1, MODULES.size())))
                    .allowEmptyShould(true)
                    .check(CLASSES);
        }
    }

    @Test
    void libraryModulesKnowNeitherPicocliNorALoggingBackend() {
        noClasses()
                .that()
                .resideOutsideOfPackage("dev.headstart.cli..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("picocli..", "org.slf4j.simple..", "ch.qos.logback..")
                .check(CLASSES);
    }

    @Test
    void noPackageLiesInTwoModules() throws IOException {
        Map<String, Set<String>> modulesOf = new HashMap<>();
        for (String module : jarModules()) {
            Path sources = ROOT.resolve(module).resolve("src/main/java");
            if (!Files.isDirectory(sources)) continue;
            try (Stream<Path> files = Files.walk(sources)) {
                files.filter(file -> file.toString().endsWith(".java"))
                        .forEach(file -> modulesOf
                                .computeIfAbsent(
                                        sources.relativize(file.getParent()).toString(), key -> new TreeSet<>())
                                .add(module));
            }
        }
        assertThat(modulesOf)
                .isNotEmpty()
                .allSatisfy((name, modules) -> assertThat(modules).as(name).hasSize(1));
    }

    @Test
    void testsSeeEveryModule() throws IOException {
        for (String module : jarModules()) {
            Path sources = ROOT.resolve(module).resolve("src/main/java/dev/headstart");
            if (!Files.isDirectory(sources)) continue;
            try (Stream<Path> files = Files.walk(sources)) {
                Path any = files.filter(
                                file -> file.toString().endsWith(".java") && !file.endsWith("package-info.java"))
                        .findFirst()
                        .orElse(null);
                if (any == null) continue; // a module that has only begun
                String name = ROOT.resolve(module)
                        .resolve("src/main/java")
                        .relativize(any)
                        .toString();
                assertThat(CLASSES.contain(
                                name.replace(".java", "").replace('/', '.').replace('\\', '.')))
                        .as("module %s is not on the class path of cli's tests", module)
                        .isTrue();
            }
        }
    }

    @Test
    void theBomNamesEveryModuleAndEveryJarHasAModuleName() throws IOException {
        String bom = Files.readString(ROOT.resolve("bom/pom.xml"));
        assertThat(bom)
                .contains("<version>" + find(Files.readString(ROOT.resolve("pom.xml")), "<plugin.spotless>([^<]+)<")
                        + "</version>");
        Set<String> names = new TreeSet<>();
        for (String module : jarModules()) {
            String pom = Files.readString(ROOT.resolve(module).resolve("pom.xml"));
            String artifact =
                    find(pom.replaceFirst("(?s)<parent>.*?</parent>", ""), "<artifactId>([^<]+)</artifactId>");
            assertThat(bom).contains("<artifactId>" + artifact + "</artifactId>");
            assertThat(find(bom, "<version>([^<]+)</version>")).isEqualTo(find(pom, "<version>([^<]+)</version>"));
            String name = find(pom, "<module.name>([^<]+)</module.name>");
            assertThat(name).as("module.name of " + module).matches("dev\\.headstart\\.[a-z][a-z0-9_.]*");
            assertThat(names.add(name)).as("module.name " + name + " twice").isTrue();
        }
    }

    /** The folders of the modules that make jars for users. */
    private static List<String> jarModules() throws IOException {
        String pom = Files.readString(ROOT.resolve("pom.xml"));
        List<String> modules = new ArrayList<>();
        Matcher matcher = Pattern.compile("<module>([^<]+)</module>").matcher(pom);
        while (matcher.find()) modules.add(matcher.group(1));
        modules.removeAll(List.of("bom", "benchmarks", "examples"));
        assertThat(modules).contains("core", "cli", "natives/linux-x86_64");
        return modules;
    }

    private static String[] packages(List<String> names) {
        return names.stream().map(name -> "dev.headstart." + name + "..").toArray(String[]::new);
    }

    private static String find(String text, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        assertThat(matcher.find()).as(pattern).isTrue();
        return matcher.group(1);
    }

    private static Path root() {
        for (Path folder = Path.of("").toAbsolutePath(); folder != null; folder = folder.getParent()) {
            if (Files.exists(folder.resolve("mvnw"))) return folder;
        }
        throw new IllegalStateException("not inside a checkout");
    }
}
