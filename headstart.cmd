@echo off
rem Runs Headstart from a checkout or a release; what the script "headstart" does elsewhere. In a checkout the first run builds; after a change
rem of the sources, delete the folder .headstart or run "headstart.cmd --rebuild".
rem   JAVA_HOME            the JDK (17 or newer); else java on the PATH
rem   HEADSTART_JAVA_OPTS  more options for the JVM, for instance -Xmx8g
setlocal EnableExtensions
set "HERE=%~dp0"
if defined JAVA_HOME (set "JAVA=%JAVA_HOME%\bin\java.exe") else (set "JAVA=java.exe")
"%JAVA%" --version >nul 2>&1 || (echo headstart: no Java 17 or newer found: install a JDK, or set JAVA_HOME to one 1>&2 & exit /b 1)
set "FLAGS=-XX:+UseSerialGC -Xms64m -XX:+DisplayVMOutputToStderr -Xlog:disable -Xlog:all=error:stderr -Dfile.encoding=UTF-8"
"%JAVA%" --enable-native-access=ALL-UNNAMED --version >nul 2>&1 && set "FLAGS=%FLAGS% --enable-native-access=ALL-UNNAMED"

if not exist "%HERE%pom.xml" (
  "%JAVA%" %FLAGS% -cp "%HERE%..\lib\*" %HEADSTART_JAVA_OPTS% dev.headstart.cli.HeadstartCommand %*
  exit /b
)

set "STATE=%HERE%.headstart"
if "%~1"=="--rebuild" if exist "%STATE%\windows" rmdir /s /q "%STATE%\windows"
if not exist "%STATE%\windows\done" (
  echo headstart: building ^(about a minute; Maven downloads up to 200 MB of libraries that are not yet in its local repository^) 1>&2
  if not exist "%STATE%" mkdir "%STATE%"
  call "%HERE%mvnw.cmd" -f "%HERE%pom.xml" -B -q -ntp -Dquick -DskipTests -Prelease -Dheadstart.target=target/quick -pl cli -am package >"%STATE%\build.log" 2>&1 || (
    echo headstart: the build failed; the whole log is %STATE%\build.log 1>&2
    exit /b 1
  )
  mkdir "%STATE%\windows"
  for %%f in ("%HERE%cli\target\quick\headstart-*.zip") do tar -xf "%%f" -C "%STATE%\windows" --strip-components 1
  echo done>"%STATE%\windows\done"
)
if "%~1"=="--rebuild" exit /b 0
"%JAVA%" %FLAGS% -cp "%STATE%\windows\lib\*" %HEADSTART_JAVA_OPTS% dev.headstart.cli.HeadstartCommand %*
exit /b
