// Starts the language server; everything else is the server's or the grammars' affair.
import * as vscode from "vscode";
import { LanguageClient } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

export async function activate(): Promise<void> {
  const command = vscode.workspace.getConfiguration("atk").get<string>("command", "atk");
  client = new LanguageClient(
    "atk",
    "atk",
    { command, args: ["lsp"] },
    { documentSelector: [{ scheme: "file", language: "atk" }] },
  );
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showWarningMessage(
      `atk: the language server does not start (${command} lsp): ${error}. ` +
        "Set atk.command to where atk is; colours work without it.",
    );
  }
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}
